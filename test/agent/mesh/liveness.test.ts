import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Link } from '../../../agent/mesh/links.ts'
import { Links } from '../../../agent/mesh/links.ts'
import { pauseOf, startLiveness } from '../../../agent/mesh/liveness.ts'
import type { Clock } from '../../../protocol/clock.ts'

const rule = suite('liveness')

/** A clock that tests put forward, millisecond by millisecond. */
const virtualClock = () => {
  let now = 0
  const timers = new Set<{ at: number; task: () => void; every?: number }>()
  const add = (timer: { at: number; task: () => void; every?: number }) => {
    timers.add(timer)
    return { cancel: () => void timers.delete(timer) }
  }
  const clock = {
    monotonicMs: () => now,
    nowMs: () => now,
    after: (ms: number, task: () => void) => add({ at: now + ms, task }),
    every: (ms: number, task: () => void) => add({ at: now + ms, task, every: ms }),
    sleep: (ms: number) => new Promise<void>((resolve) => add({ at: now + ms, task: resolve })),
  } as unknown as Clock
  const pass = async (ms: number): Promise<void> => {
    for (const end = now + ms; now < end; now += 500) {
      for (const timer of timers) {
        if (timer.at > now) continue
        if (timer.every === undefined) timers.delete(timer)
        else timer.at += timer.every
        timer.task()
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { clock, pass }
}

interface FakeLink {
  readonly link: Link
  pings: number
  ends: number
  hear(): void
}
/** The other end of a connection: one that answers, or one that does not. */
const fakeLink = (id: string, direction: 'inbound' | 'outbound', answers: boolean): FakeLink => {
  const maConn = new EventTarget()
  const fake = {
    pings: 0,
    ends: 0,
    hear: () => maConn.dispatchEvent(new Event('message')),
  }
  const muxer = {
    ping: () => {
      fake.pings += 1
      if (!answers) return new Promise(() => undefined)
      fake.hear()
      return Promise.resolve(1)
    },
  }
  const connection = { id, direction, status: 'open', maConn, muxer, abort: () => fake.ends++ }
  const link = { connection, who: { kind: 'device', name: id }, peer: id, kind: 'direct' }
  return Object.assign(fake, { link: link as unknown as Link })
}

rule(
  'pings a silent link after 10 s and leaves one alone on which something is heard',
  async () => {
    const { clock, pass } = virtualClock()
    const links = new Links()
    const liveness = startLiveness(links, clock, () => undefined)
    const [quiet, busy] = [fakeLink('a', 'outbound', true), fakeLink('b', 'outbound', true)]
    links.add(quiet.link)
    links.add(busy.link)
    for (let n = 0; n < 12; n++) {
      await pass(5000)
      busy.hear()
    }
    assert.ok(quiet.pings >= 4 && quiet.pings <= 6, `${quiet.pings}`)
    assert.equal([busy.pings, quiet.ends, busy.ends], [0, 0, 0])
    liveness.stop()
  },
)

rule('leaves the pinging to the end that dialled', async () => {
  const { clock, pass } = virtualClock()
  const links = new Links()
  const liveness = startLiveness(links, clock, () => undefined)
  const dialled = fakeLink('a', 'inbound', true)
  links.add(dialled.link)
  for (let n = 0; n < 6; n++) {
    await pass(10_000)
    dialled.hear()
  }
  assert.is(dialled.pings, 0)
  liveness.stop()
})

rule('closes within 45 s a connection from which nothing comes any more', async () => {
  const { clock, pass } = virtualClock()
  const links = new Links()
  const liveness = startLiveness(links, clock, () => undefined)
  const dead = fakeLink('a', 'outbound', false)
  links.add(dead.link)
  await pass(35_000)
  assert.is(dead.ends, 0)
  await pass(10_000)
  assert.is(dead.ends, 1)
  liveness.stop()
})

rule('keeps a connection whose answer is held up behind other traffic', async () => {
  const { clock, pass } = virtualClock()
  const links = new Links()
  const liveness = startLiveness(links, clock, () => undefined)
  const slow = fakeLink('a', 'outbound', false)
  links.add(slow.link)
  for (let n = 0; n < 10; n++) {
    await pass(12_000)
    slow.hear()
  }
  assert.is(slow.ends, 0)
  liveness.stop()
})

rule('closes within 3 s, when the network has changed, whatever does not answer', async () => {
  const { clock, pass } = virtualClock()
  const links = new Links()
  const liveness = startLiveness(links, clock, () => undefined)
  const [dead, living] = [fakeLink('a', 'outbound', false), fakeLink('b', 'inbound', true)]
  links.add(dead.link)
  links.add(living.link)
  liveness.check()
  await pass(3000)
  assert.equal([dead.ends, living.ends], [1, 0])
  liveness.stop()
})

rule(
  'closes within 3 s, when a path has changed, what was silent and stays so, to that peer alone',
  async () => {
    const { clock, pass } = virtualClock()
    const links = new Links()
    const liveness = startLiveness(links, clock, () => undefined)
    const [cut, other] = [fakeLink('a', 'inbound', false), fakeLink('b', 'inbound', false)]
    links.add(cut.link)
    links.add(other.link)
    liveness.checkSilent('a')
    await pass(9000)
    assert.is(cut.pings, 0)
    await pass(3000)
    liveness.checkSilent('a')
    await pass(3000)
    assert.equal([cut.ends, other.ends, other.pings], [1, 0, 0])
    liveness.stop()
  },
)

rule('keeps what answers when a path has changed', async () => {
  const { clock, pass } = virtualClock()
  const links = new Links()
  const liveness = startLiveness(links, clock, () => undefined)
  const living = fakeLink('a', 'inbound', true)
  links.add(living.link)
  await pass(12_000)
  for (let n = 0; n < 3; n++) liveness.checkSilent('a')
  await pass(3000)
  assert.equal([living.pings, living.ends], [1, 0])
  liveness.stop()
})

rule('pings members more rarely the more there are, the registry never', () => {
  const member = fakeLink('a', 'outbound', true).link
  const registry = { ...member, who: { kind: 'registry' } } as Link
  assert.equal(
    [1, 4, 8, 20, 1000].map((count) => pauseOf(member, count) / 1000),
    [10, 10, 20, 50, 60],
  )
  assert.is(pauseOf(registry, 1000), 10_000)
  const dialled = fakeLink('a', 'inbound', true).link
  assert.is(pauseOf(dialled, 1), 20_000)
})

rule.run()
