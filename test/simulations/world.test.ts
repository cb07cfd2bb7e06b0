// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunResult } from '../../simulations/world/convergence-run.ts'
import { Link, randomGraph } from '../../simulations/world/links.ts'
import { seededRandom, takeOver, VirtualClock } from '../../simulations/world/virtual-clock.ts'

const rule = suite('the simulated world')

rule(
  'runs what is due in the order of time, and what ties in the order it was asked for',
  async () => {
    const clock = new VirtualClock()
    const ran: string[] = []
    clock.after(20, () => ran.push('c'))
    clock.after(10, () => ran.push('a'))
    clock.after(10, () => ran.push('b'))
    const every = clock.every(15, () => ran.push(`e${clock.monotonicMs()}`))
    clock.after(5, () => ran.push('never')).cancel()
    await clock.advance(30)
    every.cancel()
    await clock.advance(100)
    assert.equal(ran, ['a', 'b', 'e15', 'c', 'e30'])
    assert.is(clock.monotonicMs(), 130)
  },
)

rule('delivers in order on a link, also where a segment was lost', async () => {
  const clock = new VirtualClock()
  const random = seededRandom(5)
  const link = new Link(clock, random, { delayMs: [10, 10], loss: 0.5, processingMs: 0 }, 10)
  const arrived: number[] = []
  for (let index = 0; index < 50; index += 1) link.send(() => arrived.push(index))
  await clock.advance(60_000)
  assert.equal(
    arrived,
    Array.from({ length: 50 }, (_, index) => index),
  )
})

rule('connects every node of a random graph', () => {
  const pairs = randomGraph(40, 6, seededRandom(1))
  const reached = new Set([0])
  for (let round = 0; round < 40; round += 1) {
    for (const [a, b] of pairs) if (reached.has(a) || reached.has(b)) reached.add(a).add(b)
  }
  assert.is(reached.size, 40)
  assert.is(pairs.length, 120)
})

async function run(seed: number): Promise<RunResult> {
  const clock = new VirtualClock()
  const random = seededRandom(seed)
  const giveBack = takeOver(clock, random)
  try {
    const { runConvergence } = await import('../../simulations/world/convergence-run.ts')
    const links = { delayMs: [20, 60], loss: 0.01, processingMs: 2 } as const
    return await runConvergence(clock, random, { agents: 60, degree: 12, events: 2, links, seed })
  } finally {
    giveBack()
  }
}

rule('brings each statement to every agent, and prints the same for the same seed', async () => {
  const [first, second] = [await run(3), await run(3)]
  for (const event of first.events) {
    assert.is(event.missing, 0)
    assert.is(event.latenciesMs.length, 59)
    // Nothing arrives sooner than one link allows.
    assert.ok(Math.min(...event.latenciesMs) >= 20)
  }
  assert.equal(
    second.events.map(({ latenciesMs }) => latenciesMs),
    first.events.map(({ latenciesMs }) => latenciesMs),
  )
})

rule.run()
