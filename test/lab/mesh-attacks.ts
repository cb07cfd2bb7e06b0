/** Attacks of a hostile member by the mesh, which make others send. */
import type { Connection, Stream } from '@libp2p/interface'
import { parseIpAddress } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { encodePunch, PUNCH_PROTOCOL } from '../../protocol/punch.ts'
import { encodeRelayFrame, RELAY_PROTOCOL, relayAddressOf } from '../../protocol/relay.ts'
import { channelOf } from '../support/rendezvous-peer.ts'
import { transportMessage } from '../support/wireguard-message.ts'
import type { HostileMember } from './hostile-member.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const POINT_MS = 50
/** Punches at once to each. */
const PUNCHES = 3
/** Frames at once, and the pause after them. */
const BATCH = 50
const BATCH_MS = 2
const NOBODY = 'ff'.repeat(9)

/** Says so many times that it is to be found at the victim's address, by gossip and by punches. */
export async function point(count: number, victim: string, member: HostileMember): Promise<number> {
  const address = parseIpAddress(victim)
  let sent = 0
  for (let n = 0; n < count; n++) {
    const candidates = Array.from({ length: CANDIDATES }, (_, index) => ({
      kind: 'host' as const,
      address,
      port: 1024 + ((n * CANDIDATES + index) % 60_000),
    }))
    await member.say(member.endpointUpdate(candidates, [`/ip4/${address}/tcp/${1024 + n}`]))
    // Several at once to each, so that a long round trip does not make it slow.
    const punches = Array.from({ length: PUNCHES }, (_, index) =>
      encodePunch({ sequence: Date.now() + index, candidates }),
    )
    const connections = await member.connections()
    const taken = await Promise.all(
      connections.flatMap((connection) => punches.map((punch) => punchBy(connection, punch))),
    )
    sent += taken.filter(Boolean).length
    await pause(POINT_MS)
  }
  return sent
}

async function punchBy(connection: Connection, punch: Uint8Array): Promise<boolean> {
  const stream = await connection.newStream(PUNCH_PROTOCOL).catch(() => undefined)
  if (stream === undefined) return false
  await channelOf(stream).write(punch)
  await stream.close()
  return true
}

/** Frames that look like WireGuard's to the device, others that do not, and some to nobody, whose answers it does not
 *  read; to every target. Resolves to the frames that were sent. */
export async function deluge(
  count: number,
  device: DeviceId,
  member: HostileMember,
): Promise<number> {
  const connections = await member.connections()
  const sent = connections.map(async (connection) =>
    delugeOn(await connection.newStream(RELAY_PROTOCOL), count, device),
  )
  return (await Promise.all(sent)).reduce((sum, each) => sum + each, 0)
}

async function delugeOn(stream: Stream, count: number, device: DeviceId): Promise<number> {
  const wireguard = transportMessage(new Uint8Array(1200))
  const frames = [
    { peer: relayAddressOf(device), datagram: wireguard },
    { peer: relayAddressOf(device), datagram: new Uint8Array(1200).fill(7) },
    { peer: NOBODY, datagram: wireguard },
  ].map(encodeRelayFrame)
  stream.pause()
  let sent = 0
  for (; sent < count && stream.status === 'open'; sent++) {
    const isTaken = stream.send(frames[sent % frames.length] ?? new Uint8Array(0))
    if (!isTaken || sent % BATCH === 0) await pause(isTaken ? BATCH_MS : 10 * BATCH_MS)
  }
  stream.abort(new Error('enough'))
  return sent
}
