import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Undelivered } from '../../../agent/mesh/relay-undelivered.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('what no relay delivered')
const PEER = 'peer' as DeviceId
const OTHER = 'other' as DeviceId

function begin() {
  const clock = new VirtualClock()
  const sent: { readonly atMs: number; readonly to: DeviceId; readonly first: number }[] = []
  const undelivered = new Undelivered(clock, (to, [first = 0]) => {
    sent.push({ atMs: clock.monotonicMs(), to, first })
    // As every relay does that does not reach it.
    clock.after(1, () => undelivered.retry(to))
    return true
  })
  const seek = (to: DeviceId, first: number): void => {
    undelivered.keep(to, Uint8Array.of(first))
    undelivered.retry(to)
  }
  return { clock, sent, undelivered, seek }
}

/** WireGuard's initiations, 5 s apart. */
async function seekFor(seconds: number, { clock, seek }: ReturnType<typeof begin>): Promise<void> {
  for (let passed = 0; passed < seconds; passed += 5) {
    seek(PEER, passed)
    await clock.advance(5000)
  }
}

rule('is sent again for 3 s, close together: the other end may be just starting', async () => {
  const world = begin()
  await seekFor(5, world)
  const moments = world.sent.map(({ atMs }) => atMs)
  assert.is(moments.length, 20)
  assert.ok(moments.every((ms, index) => ms - (moments[index - 1] ?? 0) <= 151))
})

rule('takes a third of the datagrams once a device was sought in vain, later a sixth', async () => {
  const world = begin()
  await seekFor(60, world)
  const count = (seekMs: number): number => momentsOf(seekMs).length
  const momentsOf = (seekMs: number) =>
    world.sent.map(({ atMs }) => atMs - seekMs).filter((ms) => ms >= 0 && ms < 5000)
  assert.equal([0, 5000, 25_000, 30_000, 55_000].map(count), [20, 6, 6, 3, 3])
  for (const seekMs of [25_000, 55_000]) assert.ok((momentsOf(seekMs).at(-1) ?? 0) >= 3000)
})

rule('is at it again once the device was heard of', async () => {
  const world = begin()
  await seekFor(10, world)
  world.undelivered.forget(PEER)
  world.sent.length = 0
  await seekFor(5, world)
  assert.is(world.sent.length, 20)
})

rule('sends the newest alone, each device apart, and nothing once it stops', async () => {
  const { clock, sent, undelivered, seek } = begin()
  seek(PEER, 1)
  await clock.advance(200)
  seek(PEER, 2)
  seek(OTHER, 3)
  await clock.advance(400)
  assert.equal(
    [...new Set(sent.filter(({ atMs }) => atMs > 200).map(({ first }) => first))],
    [2, 3],
  )
  undelivered.stop()
  const before = sent.length
  await clock.advance(5000)
  assert.is(sent.length, before)
})

rule.run()
