/** An attacker inside the laboratory, a process of a namespace: a libp2p node of its own that says what no
 *  agent of ours would. One JSON line in, one out; see `Errand`. */
import { createInterface } from 'node:readline'
import type { Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../agent/mesh/device-peer.ts'
import { SYNC_PROTOCOL } from '../../agent/mesh/sync-stream.ts'
import { RegistryClient } from '../../agent/registry-client.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../crypto/agreement.ts'
import { fromBase64, toBase64, toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair, seedOf } from '../../crypto/signing.ts'
import { encodeGreeting, HELLO_BYTES, proveHello } from '../../protocol/hello.ts'
import {
  type DeviceKeyPair,
  deviceIdOf,
  type OrganizationId,
  parseOrganizationId,
} from '../../protocol/keys.ts'
import { PUNCH_PROTOCOL } from '../../protocol/punch.ts'
import { RELAY_PROTOCOL } from '../../protocol/relay.ts'
import { encodeSyncMessage } from '../../protocol/sync.ts'
import { startStranger } from '../agent/mesh/stranger.ts'
import { channelOf } from '../support/rendezvous-peer.ts'
import { BROKEN, type Errand, type Speech } from './errands.ts'
import { HostileMember, keyOf } from './hostile-member.ts'
import { deluge, point } from './mesh-attacks.ts'
import { attack } from './path-attacks.ts'

const now = () => systemClock.now()

async function enrol({ registry, key, name }: Extract<Errand, { kind: 'enrol' }>) {
  const deviceKey = generateSigningKeyPair<'device'>()
  const wireguardKey = generateAgreementKeyPair()
  const by = { deviceKey, wireguardKey, name, system: 'attacker' }
  const client = new RegistryClient(registry, now, randomBytes)
  const issued = await client.enrol(by, { registrationKey: key })
  return {
    seed: toHex(seedOf(deviceKey)),
    organization: issued.organization ?? '',
    envelopes: issued.envelopes.map(toBase64),
    rendezvous: issued.rendezvous.multiaddrs,
    wireguard: toHex(privateBytesOf(wireguardKey)),
    device: deviceIdOf(deviceKey.publicKey),
    peer: peerIdOf(deviceIdOf(deviceKey.publicKey)).toString(),
  }
}

/** Resolves to the milliseconds until each target had ended the connection. */
async function intrude({ as, targets, speech }: Extract<Errand, { kind: 'intrude' }>) {
  const key = keyOf(as)
  const organization = parseOrganizationId(as.organization)
  const shown = as.envelopes.map(fromBase64)
  await using stranger = await startStranger(key)
  const visit = async (target: string): Promise<number> => {
    const began = performance.now()
    await (isHello(speech)
      ? stranger.intrude(target, (said) => helloOf(speech, said, key, organization, shown))
      : barge(stranger.node, target, speech, shown)
    ).catch(() => undefined) // turned away before a word
    return Math.round(performance.now() - began)
  }
  return await Promise.all(targets.map(visit)) // before the stranger ends
}

function isHello(speech: Speech): boolean {
  return speech === 'hello' || BROKEN.some((each) => each === speech)
}

async function helloOf(
  speech: Speech,
  said: Parameters<Parameters<Awaited<ReturnType<typeof startStranger>>['intrude']>[1]>[0],
  key: DeviceKeyPair,
  organization: OrganizationId,
  shown: readonly Uint8Array[],
): Promise<void> {
  const envelopes = speech === 'flipped' ? shown.map(flipped) : shown
  const greeting = encodeGreeting({
    version: 1,
    organization,
    nonce: speech === 'replayed' ? new Uint8Array(16) : said.hello.nonce,
    envelopes: envelopes.slice(0, 6),
  })
  if (speech === 'truncated') return said.say(greeting.subarray(0, -20))
  if (speech === 'oversized') return said.say(new Uint8Array(HELLO_BYTES + 1))
  await said.say(greeting)
  const nonce = speech === 'replayed' ? new Uint8Array(16).fill(3) : await said.theirNonce()
  await said.say(proveHello(organization, key, said.hello, nonce, now()))
}

function flipped(envelope: Uint8Array): Uint8Array {
  return envelope.map((byte, at) => (at === envelope.length - 20 ? byte ^ 1 : byte))
}

/** Opens a protocol without a hello. */
async function barge(
  node: Libp2p,
  target: string,
  speech: Speech,
  envelopes: readonly Uint8Array[],
): Promise<void> {
  const connection = await node.dial(multiaddr(target))
  const ended = new Promise<void>((resolve) => {
    if (connection.status !== 'open') resolve()
    connection.addEventListener('close', () => resolve())
  })
  const protocol = { sync: SYNC_PROTOCOL, relay: RELAY_PROTOCOL, punch: PUNCH_PROTOCOL }
  const name = speech in protocol ? protocol[speech as 'sync'] : '/meshsub/1.2.0'
  const signal = AbortSignal.timeout(4000)
  await connection
    .newStream(name, { signal })
    .then((stream) => channelOf(stream).write(encodeSyncMessage({ kind: 'envelopes', envelopes })))
    .catch(() => undefined) // a registry does not speak all of these
  await ended
}

let member: HostileMember | undefined

async function run(errand: Errand): Promise<unknown> {
  switch (errand.kind) {
    case 'key': {
      const key = generateSigningKeyPair<'device'>()
      const device = deviceIdOf(key.publicKey)
      return { seed: toHex(seedOf(key)), device, peer: peerIdOf(device).toString() }
    }
    case 'enrol':
      return enrol(errand)
    case 'intrude':
      return intrude(errand)
    case 'join':
      member = await HostileMember.start(errand.as, errand.targets)
      return member.known()
    case 'nonsense':
      return member?.nonsense(errand.count, errand.victim)
    case 'replay':
      for (const each of errand.envelopes) await member?.say(fromBase64(each))
      return true
    case 'relay':
      return member?.relay(errand.count)
    case 'streams':
      return member?.streams(errand.count)
    case 'garbage':
      return member?.garbage()
    case 'point':
      return member && point(errand.count, errand.victim, member)
    case 'deluge':
      return member && deluge(errand.count, errand.device, member)
    case 'udp':
      return member && attack(errand, member)
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await run(JSON.parse(line) as Errand).then(
    (value) => ({ answer: value ?? true }),
    (error: unknown) => ({
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }),
  )
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
