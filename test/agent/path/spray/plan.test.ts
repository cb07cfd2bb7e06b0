import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BATCH,
  LEAST_PORT,
  LONGEST_RETRY_MS,
  OPENER_PASSES,
  PROBES,
  PROBES_PER_SECOND,
  RELAYED_MS,
  ROUND_SPACING_MS,
  SPRAY_SOCKETS,
} from '../../../../agent/path/spray/limits.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import {
  candidate,
  EASY,
  EASY_SIDE,
  HARD,
  HARD_ADDRESS,
  HARD_SIDE,
  mostInASecond,
  natReport,
  newSprayWorld,
  TARGET,
} from './spray-world.ts'

const OTHER = 'other' as DeviceId
const rule = suite('spraying (SPEC §10.8)')

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN
}

rule('finds a path in a round, and both sides stop at it', async () => {
  const probes: number[] = []
  for (let seed = 1; seed <= 60; seed++) {
    const { hard, easy, run } = newSprayWorld({ seed })
    await run(RELAYED_MS + 12_000)
    if (!hard.reports().includes('found')) continue
    assert.equal(hard.reports(), ['started', 'found'])
    assert.equal(easy.reports(), ['started', 'found'])
    assert.is(hard.of('hold').length, 1)
    probes.push(easy.of('send-probe').length)
  }
  assert.ok(probes.length >= 59, `${probes.length} of 60`)
  assert.ok(median(probes) > 90 && median(probes) < 320, `${median(probes)} probes`)
})

rule(
  'sends each probe to another port from 1024 up, of the hard side’s address alone',
  async () => {
    const { easy, run } = newSprayWorld({ natAnswers: false })
    await run(RELAYED_MS + 12_000)
    const to = easy.of('send-probe').map(({ action }) => action.to)
    assert.is(to.length, PROBES)
    assert.is(new Set(to.map(({ port }) => port)).size, PROBES)
    for (const { address, port } of to) {
      assert.is(address, HARD_ADDRESS)
      assert.ok(port >= LEAST_PORT && port <= 65_535, `${port}`)
    }
  },
)

rule(
  'sends no more than 400 probes a second and 2,048 a round, also after a late timer',
  async () => {
    const { easy, run } = newSprayWorld({ natAnswers: false })
    await run(RELAYED_MS + 400)
    assert.ok(easy.of('send-probe').length < 40)
    // Nothing ran for two seconds.
    easy.give({ kind: 'tick' }, RELAYED_MS + 2400)
    easy.give({ kind: 'tick' }, RELAYED_MS + 2400)
    const late = newSprayWorld({ natAnswers: false })
    await late.run(RELAYED_MS + 12_000)
    for (const agent of [easy, late.easy]) {
      assert.ok(mostInASecond(agent.packets) <= PROBES_PER_SECOND + BATCH)
      assert.ok(agent.of('send-probe').length <= PROBES)
    }
  },
)

rule('opens 256 mappings, to one endpoint, a few times over, and closes them all', async () => {
  const { hard, run } = newSprayWorld({ natAnswers: false })
  await run(RELAYED_MS + 12_000)
  const sent = new Map<number, number>()
  for (const { action } of hard.of('send-openers')) {
    assert.equal(action.target, TARGET)
    for (let socket = action.first; socket < action.first + action.count; socket++)
      sent.set(socket, (sent.get(socket) ?? 0) + 1)
  }
  assert.is(sent.size, SPRAY_SOCKETS)
  assert.ok([...sent.values()].every((count) => count === OPENER_PASSES))
  assert.is(hard.of('close').length, 1)
  assert.equal(hard.reports(), ['started', 'failed'])
})

rule('tells the easy side to begin when all mappings are open', async () => {
  const { hard, easy, run } = newSprayWorld()
  await run(RELAYED_MS + 12_000)
  const openMs = hard.of('say').find(({ action }) => action.spray.step === 'open')?.atMs ?? NaN
  const opened = hard
    .of('send-openers')
    .filter(({ atMs }) => atMs <= openMs)
    .reduce((sum, { action }) => sum + action.count, 0)
  assert.is(opened, SPRAY_SOCKETS)
  assert.ok((easy.of('send-probe')[0]?.atMs ?? NaN) > openMs)
})

rule('begins only when the pair has been relayed for 5 s and packets flow', async () => {
  const early = newSprayWorld()
  await early.run(RELAYED_MS - 20)
  assert.equal(early.hard.actions, [])
  for (const path of [
    { packetsMs: -Infinity },
    { relayedMs: Infinity },
    { relayedMs: Infinity, direct: TARGET },
  ]) {
    const { hard, run } = newSprayWorld()
    hard.knows(EASY, EASY_SIDE, path)
    await run(60_000)
    assert.equal(hard.actions, [], JSON.stringify(path))
  }
})

rule('asks a peer without the option in vain, ever more seldom, and opens nothing', async () => {
  const { hard, run } = newSprayWorld({ hasOption: false })
  await run(3_600_000)
  assert.ok(hard.of('say').every(({ action }) => action.spray.step === 'ask'))
  assert.equal([...hard.of('open'), ...hard.packets], [])
  const asked = hard.of('say').map(({ atMs }) => atMs)
  const gaps = asked.slice(1).map((atMs, index) => atMs - (asked[index] ?? NaN))
  const doubled = [20, 40, 80, 160, 320, 600, 600].map((seconds) => seconds * 1000)
  for (const [index, gap] of doubled.entries())
    assert.ok(Math.abs((gaps[index] ?? NaN) - gap) < 4000, gaps.join(' '))
  assert.ok(gaps.every((gap) => gap <= LONGEST_RETRY_MS + 4000))
})

rule('tries again after a round in vain, at twice the distance each time', async () => {
  const { hard, easy, run } = newSprayWorld({ natAnswers: false })
  await run(3_600_000)
  const starts = easy
    .of('report')
    .filter(({ action }) => action.event === 'started')
    .map(({ atMs }) => atMs)
  const gaps = starts
    .slice(1)
    .map((atMs, index) => Math.round((atMs - (starts[index] ?? 0)) / 1000))
  for (const [index, least] of [20, 40, 80, 160, 320, 600].entries())
    assert.ok((gaps[index] ?? 0) >= least && (gaps[index] ?? 0) < least + 15, gaps.join(' '))
  assert.ok(easy.of('send-probe').length <= 11 * PROBES)
  assert.is(hard.of('open').length, hard.of('close').length)
})

for (const [what, hard, easy] of [
  ['both are hard', HARD_SIDE, { ...EASY_SIDE, nat: [natReport('address-dependent')] }],
  ['neither is hard', { ...HARD_SIDE, nat: [natReport('endpoint-independent')] }, EASY_SIDE],
  [
    'the peer is public',
    HARD_SIDE,
    { ...EASY_SIDE, nat: [natReport('none', 'endpoint-independent')] },
  ],
  [
    'the peer lets in all ports of whom it has sent to',
    HARD_SIDE,
    { ...EASY_SIDE, nat: [natReport('endpoint-independent', 'address-dependent')] },
  ],
  ['the peer says nothing of its NAT', HARD_SIDE, { ...EASY_SIDE, nat: [] }],
  ['the own NAT is not known', { ...HARD_SIDE, nat: [natReport('unknown')] }, EASY_SIDE],
  [
    'the hard side is seen at a private address',
    { ...HARD_SIDE, candidates: [candidate('192.168.1.1:40000')] },
    EASY_SIDE,
  ],
  [
    'the peer is seen at a private address',
    HARD_SIDE,
    { ...EASY_SIDE, candidates: [candidate('100.64.7.7:51820')] },
  ],
  [
    'both are behind one public address',
    HARD_SIDE,
    { ...EASY_SIDE, candidates: [candidate('198.51.100.1:51820')] },
  ],
  [
    'UDP is blocked',
    { ...HARD_SIDE, nat: [{ ...natReport('address-dependent'), udp: 'blocked' as const }] },
    EASY_SIDE,
  ],
  [
    'the families differ',
    HARD_SIDE,
    { ...EASY_SIDE, nat: [natReport('endpoint-independent', 'unknown', 6)] },
  ],
] as const) {
  rule(`does nothing where ${what}`, async () => {
    const world = newSprayWorld({ hard, easy })
    await world.run(120_000)
    assert.equal([...world.hard.actions, ...world.easy.actions], [])
    // Whatever the hard side asks for: the easy one decides by itself.
    for (const step of ['ask', 'open'] as const)
      world.easy.give(
        { kind: 'told', device: HARD, spray: { step, address: HARD_ADDRESS } },
        120_000,
      )
    assert.equal(world.easy.actions, [])
  })
}

rule('reaches a peer without NAT behind a firewall at its own address', async () => {
  const easy = { nat: [natReport('none')], candidates: [candidate('203.0.113.2:51820', 'host')] }
  const { hard, run } = newSprayWorld({ easy })
  await run(RELAYED_MS + 12_000)
  assert.equal(hard.reports(), ['started', 'found'])
})

rule('does one round at a time for the whole agent, and waits 20 s between two', async () => {
  const { easy, hard, run } = newSprayWorld({ natAnswers: false })
  easy.knows(OTHER, HARD_SIDE)
  hard.knows(OTHER, EASY_SIDE)
  await run(RELAYED_MS + 1000)
  assert.is(easy.state.round?.kind, 'spraying')
  assert.is(hard.state.round?.kind, 'open')
  const ask = {
    kind: 'told',
    device: OTHER,
    spray: { step: 'ask', address: HARD_ADDRESS },
  } as const
  assert.equal(easy.give(ask, RELAYED_MS + 1000), [])
  await run(11_000)
  assert.is(easy.state.round, undefined)
  assert.equal(easy.give(ask, RELAYED_MS + 12_000), [])
  const others = hard.of('say').filter(({ action }) => action.device === OTHER)
  assert.equal(others, [])
  assert.is(easy.give(ask, easy.state.endedMs + ROUND_SPACING_MS)[0]?.kind, 'say')
})

rule.run()
