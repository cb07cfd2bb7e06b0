import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PathStatus, type Paths, startPaths } from '../../../agent/path/paths.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { type AgreementKeyPair, generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { formatEndpoint, parseIpAddress } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'
import {
  type RecordingTunnel,
  startRecordingTunnel,
} from '../../../simulations/world/recording-tunnel.ts'

interface Host extends AsyncDisposable {
  readonly device: DeviceId
  readonly keys: AgreementKeyPair
  readonly tunnel: RecordingTunnel
  readonly checkPort: number
  readonly paths: Paths
  readonly statuses: PathStatus[]
  readonly sessions: DeviceId[]
}

interface World extends AsyncDisposable {
  /** Has the lower device key. */
  readonly a: Host
  readonly b: Host
  /** One way, milliseconds; undefined: there is no relay. */
  relayMs: number | undefined
  readonly relayed: { count: number }
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

async function startWorld(relayMs: number | undefined): Promise<World> {
  const devices = [0, 1]
    .map(() => generateSigningKeyPair<'device'>().publicKey)
    .toSorted((x, y) => Buffer.compare(x, y))
    .map(deviceIdOf)
  const keys = [generateAgreementKeyPair(), generateAgreementKeyPair()]
  const world: { relayMs: number | undefined; relayed: { count: number } } = {
    relayMs,
    relayed: { count: 0 },
  }
  const hosts: Host[] = []
  for (const [index, device] of devices.entries()) {
    const [own, peer] = [keys[index], keys[1 - index]]
    assert.ok(own !== undefined && peer !== undefined)
    const tunnel = await startRecordingTunnel(peer.publicKey, systemClock)
    const checkPort = await freePort()
    const statuses: PathStatus[] = []
    const sessions: DeviceId[] = []
    const carry = (task: (other: Host) => void): boolean => {
      const other = hosts[1 - index]
      if (world.relayMs === undefined || other === undefined) return false
      setTimeout(() => task(other), world.relayMs)
      return true
    }
    const paths = await startPaths({
      device,
      wireguardKey: own,
      listenPort: tunnel.listenPort,
      checkPort,
      tunnel,
      sendDatagram: (_to, datagram) => {
        world.relayed.count += 1
        return carry((other) => other.paths.receiveDatagram(device, Uint8Array.from(datagram)))
      },
      sendPunch: (_to, candidates) =>
        void carry((other) => other.paths.punched(device, candidates)),
      stunServers: () => [],
      hostAddresses: () => [],
      onLocalCandidates: () => undefined,
      onPathChanged: (_device, status) => statuses.push(status),
      onSession: (device) => sessions.push(device),
      clock: systemClock,
      random: randomBytes,
      log: () => undefined,
    })
    const end = async (): Promise<void> => {
      await paths[Symbol.asyncDispose]()
      await tunnel[Symbol.asyncDispose]()
    }
    hosts.push({
      device,
      keys: own,
      tunnel,
      checkPort,
      paths,
      statuses,
      sessions,
      [Symbol.asyncDispose]: end,
    })
  }
  const [a, b] = hosts
  assert.ok(a !== undefined && b !== undefined)
  const end = async (): Promise<void> => {
    for (const host of [a, b]) await host[Symbol.asyncDispose]()
  }
  return Object.assign(world, { a, b, [Symbol.asyncDispose]: end })
}

function introduce(to: Host, peer: Host, candidates: readonly Candidate[] = []): void {
  const { device, keys } = peer
  to.paths.setPeers([{ device, name: 'peer', wireguardKey: keys.publicKey, candidates }])
}

const at = ({ checkPort }: Host): Candidate => ({
  kind: 'host',
  address: parseIpAddress('127.0.0.1'),
  port: checkPort,
})

async function until(isSo: () => boolean, what: string, timeoutMs = 3000): Promise<number> {
  const begun = performance.now()
  while (!isSo()) {
    if (performance.now() - begun > timeoutMs) throw new Error(`not in ${timeoutMs} ms: ${what}`)
    await sleep(2)
  }
  return performance.now() - begun
}

const initiations = ({ tunnel }: Host) => tunnel.events.filter((one) => one === 'initiates').length
const rule = suite('paths')

rule('carry WireGuard by the relay, by one handshake that the lower key starts', async () => {
  await using world = await startWorld(20)
  const { a, b } = world
  introduce(a, b)
  introduce(b, a)
  await until(() => b.tunnel.events.length > 0, 'an endpoint')
  a.tunnel.send('from a')
  b.tunnel.send('from b')
  await until(() => a.tunnel.received.length * b.tunnel.received.length > 0, 'both')
  assert.equal([a.tunnel.received[0], b.tunnel.received[0]], ['from b', 'from a'])
  assert.is(initiations(a), 1)
  assert.not(a.tunnel.events.includes('responds'))
  assert.is(a.paths.status(b.device).kind, 'relay')
})

rule('start the handshake without any packet of users', async () => {
  await using world = await startWorld(20)
  const { a, b } = world
  introduce(a, b)
  introduce(b, a)
  await until(() => a.tunnel.isUp && b.tunnel.isUp, 'a session')
  assert.equal([initiations(a), initiations(b)], [1, 0])
  await until(() => a.sessions.length * b.sessions.length > 0, 'both told of it')
  assert.equal([a.sessions, b.sessions], [[b.device], [a.device]])
})

rule('become direct by checks, and tell WireGuard after the session is up', async () => {
  await using world = await startWorld(20)
  const { a, b } = world
  introduce(a, b, [at(b)])
  introduce(b, a)
  const direct = `endpoint 127.0.0.1:${b.checkPort}`
  await until(() => a.tunnel.events.includes(direct), 'the direct endpoint')
  assert.ok(a.tunnel.isUp)
  assert.is(a.paths.status(b.device).kind, 'direct')
  assert.equal(formatEndpoint(a.paths.endpointFor(b.device)), `127.0.0.1:${b.checkPort}`)
  // b knew no candidate: it learned a's from a's check.
  await until(() => b.paths.status(a.device).kind === 'direct', 'direct from b')
})

rule('reach each other without a relay', async () => {
  await using world = await startWorld(undefined)
  const { a, b } = world
  introduce(a, b, [at(b)])
  introduce(b, a, [at(a)])
  await until(() => a.paths.status(b.device).kind === 'direct', 'direct from a')
  await until(() => b.paths.status(a.device).kind === 'direct', 'direct from b')
})

rule('go back to the relay when the peer falls silent, and leave the dead path', async () => {
  await using world = await startWorld(20)
  const { a, b } = world
  introduce(a, b, [at(b)])
  introduce(b, a, [at(a)])
  const direct = `endpoint 127.0.0.1:${b.checkPort}`
  await until(() => a.tunnel.events.includes(direct), 'the direct endpoint')
  b.paths.setPeers([])
  a.paths.networkChanged()
  const relayed = () => a.tunnel.events.at(-1) !== direct
  assert.ok((await until(relayed, 'the loopback endpoint')) < 1000)
  await until(() => a.paths.status(b.device).kind !== 'direct', 'not direct')
})

rule('give WireGuard its endpoint again when the peer was made anew', async () => {
  await using world = await startWorld(5)
  const { a, b } = world
  introduce(a, b)
  introduce(b, a)
  await until(() => a.tunnel.isUp, 'a session')
  await sleep(300)
  const before = a.tunnel.events.length
  a.tunnel.remake()
  await until(() => a.tunnel.events.length > before, 'the endpoint again')
  assert.is(a.tunnel.events.at(-1), `endpoint ${formatEndpoint(a.paths.endpointFor(b.device))}`)
})

rule('answer nobody who is not a peer', async () => {
  await using world = await startWorld(undefined)
  const { a, b } = world
  introduce(a, b, [at(b)])
  await sleep(300)
  assert.equal(a.paths.status(b.device), { kind: 'connecting' })
  assert.equal(b.paths.status(a.device), { kind: 'offline' })
})

rule('survive anything that comes by the relay or the socket', async () => {
  await using world = await startWorld(5)
  const { a, b } = world
  introduce(a, b)
  introduce(b, a)
  const socket = createSocket('udp4')
  for (let length = 0; length < 200; length++) {
    const junk = randomBytes(length)
    a.paths.receiveDatagram(b.device, junk)
    a.paths.receiveDatagram(deviceIdOf(generateSigningKeyPair<'device'>().publicKey), junk)
    socket.send(junk, a.checkPort, '127.0.0.1')
  }
  await until(() => a.tunnel.isUp && b.tunnel.isUp, 'a session')
  socket.close()
})

rule('refuse a check port that is taken, in one line that says what to do', async () => {
  await using world = await startWorld(undefined)
  const tunnel = await startRecordingTunnel(world.b.keys.publicKey, systemClock)
  try {
    await startPaths({
      device: world.a.device,
      wireguardKey: world.a.keys,
      listenPort: tunnel.listenPort,
      checkPort: world.b.checkPort,
      tunnel,
      sendDatagram: () => false,
      sendPunch: () => undefined,
      stunServers: () => [],
      hostAddresses: () => [],
      onLocalCandidates: () => undefined,
      onPathChanged: () => undefined,
      clock: systemClock,
      random: randomBytes,
      log: () => undefined,
    })
    assert.unreachable()
  } catch (error) {
    assert.match(
      String(error),
      /CheckPortError: cannot bind UDP port \d+ .* \(stop what has it, or choose another/,
    )
  }
  await tunnel[Symbol.asyncDispose]()
})

rule.run()
