/** What a start waits for before it loads the mesh. */
import { setImmediate as turn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { directPaths, firstPaths, firstRelays } from '../../agent/first-paths.ts'
import type { PathStatus } from '../../agent/path/paths.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { parseEndpoint } from '../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../protocol/keys.ts'
import { VirtualClock } from '../../simulations/world/virtual-clock.ts'

const device = (): DeviceId => deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
const [laptop, phone] = [device(), device()]
const direct: PathStatus = {
  kind: 'direct',
  endpoint: parseEndpoint('198.18.3.2:51820'),
  roundTripMs: 40,
}

/** How long it waits, where a peer is reached and has a session from these moments on. */
async function waitsMs(
  peers: ReadonlyMap<DeviceId, { readonly directMs: number; readonly sessionMs: number }>,
  reached: PathStatus = direct,
): Promise<number> {
  const clock = new VirtualClock()
  let endedMs = Number.NaN
  const at = (peer: DeviceId): { directMs: number; sessionMs: number } =>
    peers.get(peer) ?? { directMs: Infinity, sessionMs: Infinity }
  const waiting = firstPaths(
    new Map([...peers.keys()].map((peer) => [peer, { endpoints: {} }])),
    {
      status: (peer) =>
        clock.monotonicMs() >= at(peer).directMs ? reached : { kind: 'connecting' },
      hasSession: (peer) => clock.monotonicMs() >= at(peer).sessionMs,
    },
    clock,
  ).then(() => {
    endedMs = clock.monotonicMs()
  })
  await turn()
  await clock.advance(5000)
  await waiting
  return endedMs
}

/** What `directPaths` says, and after how long. */
async function directAfter(directMs: readonly number[]): Promise<readonly [boolean, number]> {
  const clock = new VirtualClock()
  const peers = [laptop, phone].slice(0, directMs.length)
  const status = (peer: DeviceId): PathStatus =>
    clock.monotonicMs() >= (directMs[peers.indexOf(peer)] ?? 0) ? direct : { kind: 'connecting' }
  let said: readonly [boolean, number] = [false, Number.NaN]
  const waiting = directPaths(
    new Map(peers.map((peer) => [peer, { endpoints: {} }])),
    { status, hasSession: () => false },
    clock,
  ).then((areDirect) => {
    said = [areDirect, clock.monotonicMs()]
  })
  await turn()
  await clock.advance(5000)
  await waiting
  return said
}

const rule = suite('firstPaths')

rule('says whether all are direct, after 120 ms at most', async () => {
  assert.equal(await directAfter([]), [true, 0])
  assert.equal(await directAfter([40, 55]), [true, 55])
  assert.equal(await directAfter([40, 200]), [false, 120])
})

rule('does not wait where nobody can be checked', async () => {
  assert.is(await waitsMs(new Map()), 0)
})

rule('does not wait for a peer whose candidates are unknown', async () => {
  const clock = new VirtualClock()
  const paths = { status: () => ({ kind: 'connecting' }) as const, hasSession: () => false }
  await firstPaths(new Map([[laptop, {}]]), paths, clock)
  assert.is(clock.monotonicMs(), new VirtualClock().monotonicMs())
})

rule('waits for the handshake of every peer that is reached directly', async () => {
  const peers = new Map([
    [laptop, { directMs: 40, sessionMs: 85 }],
    [phone, { directMs: 60, sessionMs: 120 }],
  ])
  assert.is(await waitsMs(peers), 120)
})

rule('gives up a path after 300 ms, for then it may take the mesh', async () => {
  const peers = new Map([
    [laptop, { directMs: 40, sessionMs: 80 }],
    [phone, { directMs: Infinity, sessionMs: Infinity }],
  ])
  assert.is(await waitsMs(peers), 300)
})

rule('gives up a session after 500 ms', async () => {
  assert.is(await waitsMs(new Map([[phone, { directMs: 140, sessionMs: Infinity }]])), 500)
})

rule('waits less for a session where another peer is not reached', async () => {
  const peers = new Map([
    [laptop, { directMs: 40, sessionMs: Infinity }],
    [phone, { directMs: Infinity, sessionMs: Infinity }],
  ])
  assert.is(await waitsMs(peers), 300)
})

rule('lets the first packets pass where they go by a relay', async () => {
  const peers = new Map([[phone, { directMs: 120, sessionMs: 160 }]])
  assert.is(await waitsMs(peers, { kind: 'relay', roundTripMs: 80 }), 310)
  const late = new Map([[phone, { directMs: 120, sessionMs: Infinity }]])
  assert.is(await waitsMs(late, { kind: 'relay', roundTripMs: 80 }), 500)
})

rule('takes no session for a path', async () => {
  assert.is(await waitsMs(new Map([[phone, { directMs: Infinity, sessionMs: 0 }]])), 300)
})

rule.run()

const relays = suite('firstRelays')

/** How long it waits for one peer, of this status, whose session is up from that moment on. */
async function relayWaitsMs(kind: PathStatus['kind'], sessionMs: number): Promise<number> {
  const clock = new VirtualClock()
  const begunMs = clock.monotonicMs()
  let endedMs = Number.NaN
  const status = (): PathStatus =>
    kind === 'direct' ? direct : kind === 'relay' ? { kind, roundTripMs: 80 } : { kind }
  const hasSession = (): boolean => clock.monotonicMs() - begunMs >= sessionMs
  const waiting = firstRelays(new Map([[phone, {}]]), { status, hasSession }, clock).then(() => {
    endedMs = clock.monotonicMs() - begunMs
  })
  await turn()
  await clock.advance(5000)
  await waiting
  return endedMs
}

relays('waits for the session of a peer that is sought or reached', async () => {
  for (const kind of ['connecting', 'direct', 'relay'] as const)
    assert.is(await relayWaitsMs(kind, 130), 130)
})

relays('gives a relay half a second', async () => {
  assert.is(await relayWaitsMs('connecting', Infinity), 500)
})

relays('does not wait for a peer that nobody seeks', async () => {
  for (const kind of ['idle', 'offline'] as const) assert.is(await relayWaitsMs(kind, Infinity), 0)
})

relays.run()
