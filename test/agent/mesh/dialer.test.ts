import { multiaddr } from '@multiformats/multiaddr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../agent/mesh/device-peer.ts'
import type { DialPeer } from '../../../agent/mesh/dial-targets.ts'
import { Dialer, type DialerOptions } from '../../../agent/mesh/dialer.ts'
import { type Link, Links } from '../../../agent/mesh/links.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('dialer')
const HOUR_MS = 3_600_000
const newDevice = () => deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
const OFF = Array.from({ length: 10 }, (_, index): DialPeer => {
  const multiaddrs = [`/ip4/198.18.0.${index + 1}/tcp/51822`]
  return { device: newDevice(), updateSequence: 1, multiaddrs, overlayAddresses: [] }
})
const link = (id: string, who: Link['who']): Link =>
  ({
    ...{ who, peer: id, kind: 'direct', sinceMs: 0 },
    connection: { id, remoteAddr: multiaddr('/ip4/203.0.113.1/tcp/1') },
  }) as unknown as Link
const HUB = link('hub', { kind: 'device' } as Link['who'])
const REGISTRY = link('registry', { kind: 'registry' } as Link['who'])

/** Of a device whose peers are all off. */
function begin(peers: readonly DialPeer[], ...linked: readonly Link[]) {
  const clock = new VirtualClock()
  const links = new Links()
  for (const each of linked) links.add(each)
  const dialled: { readonly atMs: number; readonly address: string }[] = []
  const mesh = {
    node: {
      getMultiaddrs: () => [multiaddr('/ip4/198.18.1.1/tcp/51822')],
      peerRouting: { findPeer: () => Promise.reject(new Error('not found')) },
    },
    dial: (address: { toString(): string }) => {
      dialled.push({ atMs: clock.monotonicMs(), address: address.toString() })
      return Promise.reject(new Error('no answer'))
    },
  }
  const self = newDevice()
  const options = {
    ...{ mesh, links, clock, device: self, self: peerIdOf(self).toString() },
    ...{ rendezvous: () => [], isRelay: () => false, log: () => undefined },
    admission: { admitted: () => undefined },
    random: (length: number) => new Uint8Array(length),
    signal: new AbortController().signal,
  } as unknown as DialerOptions
  const dialer = new Dialer(options)
  dialer.setPeers(peers)
  const since = (atMs: number) => dialled.filter((each) => each.atMs >= atMs)
  return { clock, links, dialer, dialled, since }
}

rule(
  'seeks members that are off the more rarely the more they are: one of them each 30 s',
  async () => {
    const { clock, since } = begin(OFF, HUB)
    await clock.advance(HOUR_MS)
    const perHour = since(0).length
    assert.ok(perHour <= OFF.length * (10 + HOUR_MS / 300_000), `${perHour} dials`)
    await clock.advance(HOUR_MS)
    const later = since(HOUR_MS)
    assert.ok(later.length <= HOUR_MS / 30_000, `${later.length} dials`)
    assert.is(new Set(later.map(({ address }) => address)).size, OFF.length)
  },
)

rule('seeks each in 30 s where nobody would tell that it is back', async () => {
  const { clock, since } = begin(OFF)
  await clock.advance(HOUR_MS)
  await clock.advance(30_000)
  assert.is(since(HOUR_MS).length, OFF.length)
})

rule('seeks a single one that is off in 30 s', async () => {
  const { clock, since } = begin(OFF.slice(0, 1), HUB)
  await clock.advance(HOUR_MS)
  await clock.advance(30_000)
  assert.is(since(HOUR_MS).length, 1)
})

rule('is eager again at a word of the member, and when a registry is back', async () => {
  const { clock, links, dialer, since } = begin(OFF, HUB)
  await clock.advance(HOUR_MS)
  const [one, ...others] = OFF
  assert.ok(one)
  const news = { ...one, updateSequence: 2 }
  dialer.setPeers([news, ...others])
  await clock.advance(10)
  assert.equal(new Set(since(HOUR_MS).map(({ address }) => address.split('/')[2])).size, 1)
  await clock.advance(HOUR_MS)
  links.add(REGISTRY)
  await clock.advance(10)
  assert.is(since(2 * HOUR_MS).length, OFF.length)
})

rule.run()
