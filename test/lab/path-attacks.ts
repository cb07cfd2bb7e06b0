/** Attacks of a hostile member by UDP, from any source it likes, and what it sent for each. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { AgreementKeyPair } from '../../crypto/agreement.ts'
import { concat } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { parseEndpoint } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { encodeStun } from '../../protocol/stun.ts'
import { checkKey, checkUsername } from '../../protocol/stun-credentials.ts'
import { seconds } from '../../protocol/time.ts'
import type { UdpAttack, UdpSent } from './errands.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** Datagrams at once, and the pause after them: ten thousand a second. */
const BATCH = 20
const BATCH_MS = 2
/** For what may still come back. */
const LINGER_MS = 500
/** A relay datagram's kind (SPEC §12.4). */
const TO_RELAY = 0xd0

export interface Attacker {
  readonly device: DeviceId
  readonly wireguardKey: AgreementKeyPair
  readonly state: OrganizationState
}

/** Resolves when all has been sent, and a while has passed. */
export async function attack(errand: UdpAttack, attacker: Attacker): Promise<UdpSent> {
  const socket = createSocket('udp4')
  let answers = 0
  socket.on('message', () => {
    answers += 1
  })
  const source = errand.source === undefined ? undefined : parseEndpoint(errand.source)
  socket.bind(source?.port ?? 0, source?.address)
  await once(socket, 'listening')
  const bytes = await flood(socket, errand, datagramsOf(errand, attacker))
  await pause(LINGER_MS)
  socket.close()
  return { packets: errand.count, bytes, answers }
}

async function flood(
  socket: Socket,
  { to, count }: UdpAttack,
  next: () => Uint8Array,
): Promise<number> {
  const { address, port } = parseEndpoint(to)
  let bytes = 0
  for (let n = 0; n < count; n++) {
    const datagram = next()
    bytes += datagram.length
    socket.send(datagram, port, address)
    if (n % BATCH === BATCH - 1) await pause(BATCH_MS)
  }
  return bytes
}

function datagramsOf(errand: UdpAttack, attacker: Attacker): () => Uint8Array {
  const transactionId = (): Uint8Array => randomBytes(12)
  switch (errand.with) {
    case 'own checks': {
      const key = checkKey(attacker.wireguardKey, wireguardKeyOf(errand.device, attacker.state))
      const username = checkUsername(errand.device, attacker.device)
      return () => encodeStun({ kind: 'request', transactionId: transactionId(), username }, key)
    }
    case 'forged checks': {
      const username = checkUsername(errand.device, errand.named)
      return () =>
        encodeStun({ kind: 'request', transactionId: transactionId(), username }, randomBytes(32))
    }
    case 'bare requests':
      return () => concat(Uint8Array.of(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42), transactionId())
    case 'relay datagrams':
      return () => concat(Uint8Array.of(TO_RELAY), randomBytes(200))
  }
}

function wireguardKeyOf(device: DeviceId, state: OrganizationState) {
  const member = memberOf(state, device, seconds(Math.floor(Date.now() / 1000)))
  if (member === undefined) throw new Error(`${device} is no member`)
  return member.certificate.wireguardKey
}
