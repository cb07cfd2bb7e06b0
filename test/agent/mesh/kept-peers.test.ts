import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { keptPeers, rememberedKept } from '../../../agent/mesh/kept-peers.ts'
import type { DeviceId } from '../../../protocol/keys.ts'

const rule = suite('kept peers')
const devices = (count: number): DeviceId[] =>
  Array.from({ length: count }, (_, n) => `device ${n}` as DeviceId)
const others = (all: readonly DeviceId[], self: DeviceId) => all.filter((each) => each !== self)

rule('are all of a small organization', () => {
  const all = devices(25)
  for (const self of all) assert.is(keptPeers(self, others(all, self)).size, 24)
})

rule('are few of a large one, the same each time, and hang together', () => {
  const all = devices(300)
  const edges = new Map<DeviceId, Set<DeviceId>>(all.map((each) => [each, new Set()]))
  for (const self of all) {
    const kept = keptPeers(self, others(all, self))
    assert.equal(kept, keptPeers(self, others(all, self).toReversed()))
    for (const peer of kept) {
      edges.get(self)?.add(peer)
      edges.get(peer)?.add(self)
    }
  }
  const reached = new Set<DeviceId>()
  const visit = (device: DeviceId): void => {
    if (reached.has(device)) return
    reached.add(device)
    for (const next of edges.get(device) ?? []) visit(next)
  }
  visit(all[0] as DeviceId)
  assert.is(reached.size, all.length)
  const degrees = [...edges.values()].map(({ size }) => size)
  assert.ok(Math.max(...degrees) <= 40, `most ${Math.max(...degrees)}`)
})

rule('are chosen again where the members are others, and only there', () => {
  const [self, ...peers] = devices(60) as [DeviceId, ...DeviceId[]]
  const keptOf = rememberedKept(self)
  const first = keptOf(peers)
  assert.is(keptOf([...peers]), first)
  for (const others of [peers.slice(1), peers.with(7, 'another' as DeviceId), [], peers])
    assert.equal(keptOf(others), keptPeers(self, others))
})

rule.run()
