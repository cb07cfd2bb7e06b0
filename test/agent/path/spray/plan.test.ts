import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BATCH,
  HELD_PATHS,
  LEAST_PORT,
  LONGEST_RETRY_MS,
  OPENER_PASSES,
  PROBES,
  PROBES_PER_SECOND,
  RELAYED_MS,
  ROUND_SPACING_MS,
  SPRAY_SOCKETS,
  UNUSED_MS,
} from '../../../../agent/path/spray/limits.ts'
import { parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import {
  candidate,
  EASY,
  EASY_SIDE,
  HARD,
  HARD_ADDRESS,
  HARD_SIDE,
  natReport,
  newSprayWorld,
  SprayAgent,
  TARGET,
} from './spray-world.ts'

const OTHER = 'other' as DeviceId
const rule = suite('spraying (SPEC §10.8)')

/** Of the sums over every second that begins with a packet. */
function mostInASecond(
  packets: readonly { readonly atMs: number; readonly count: number }[],
): number {
  const sums = packets.map(({ atMs }) =>
    packets
      .filter((one) => one.atMs >= atMs && one.atMs < atMs + 1000)
      .reduce((sum, { count }) => sum + count, 0),
  )
  return Math.max(0, ...sums)
}

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

const hostile = suite('a hostile peer of one that sprays (SPEC §10.8)')

function asked(easy: SprayAgent, address: string, nowMs: number, device = HARD): void {
  for (const step of ['ask', 'open'] as const)
    easy.give({ kind: 'told', device, spray: { step, address: parseIpAddress(address) } }, nowMs)
}

function newEasy(): SprayAgent {
  const easy = new SprayAgent(EASY_SIDE, 1)
  easy.knows(HARD, HARD_SIDE)
  return easy
}

hostile('cannot name an address that it has not signed to be seen at', () => {
  const easy = newEasy()
  for (const victim of ['192.0.2.66', '10.0.0.2', '127.0.0.1', '203.0.113.2', '2001:db8::1'])
    asked(easy, victim, 60_000)
  assert.equal(easy.actions, [])
  assert.is(easy.state.round, undefined)
})

hostile('cannot change the address between asking and opening, nor open without asking', () => {
  const easy = newEasy()
  const two = { ...HARD_SIDE, candidates: [...HARD_SIDE.candidates, candidate('192.0.2.66:1')] }
  easy.knows(HARD, two)
  easy.knows(OTHER, two)
  const open = (device: DeviceId, address: string) =>
    easy.give(
      { kind: 'told', device, spray: { step: 'open', address: parseIpAddress(address) } },
      60_000,
    )
  assert.equal(open(HARD, '198.51.100.1'), [])
  easy.give({ kind: 'told', device: HARD, spray: { step: 'ask', address: HARD_ADDRESS } }, 60_000)
  assert.equal(open(HARD, '192.0.2.66'), [])
  assert.equal(open(OTHER, '198.51.100.1'), [])
  assert.is(open(HARD, '198.51.100.1')[0]?.kind, 'report')
  assert.equal(open(HARD, '198.51.100.1'), [])
})

hostile('gets no more than the bounds, however often it asks, alone or with others', () => {
  const easy = newEasy()
  const crowd = Array.from({ length: 8 }, (_, index) => `member-${index}` as DeviceId)
  for (const device of crowd) easy.knows(device, HARD_SIDE)
  const hourMs = 3_600_000
  for (let nowMs = 10_000; nowMs < hourMs; nowMs += 10) {
    if (nowMs % 500 === 0) for (const device of crowd) asked(easy, HARD_ADDRESS, nowMs, device)
    easy.give({ kind: 'tick' }, nowMs)
  }
  const probes = easy.of('send-probe')
  assert.ok(mostInASecond(easy.packets.slice(0, 5000)) <= PROBES_PER_SECOND + BATCH)
  const starts = easy.of('report').filter(({ action }) => action.event === 'started')
  assert.ok(probes.length <= starts.length * PROBES)
  for (const [index, { atMs }] of starts.entries())
    assert.ok(atMs - (starts[index - 1]?.atMs ?? -Infinity) >= ROUND_SPACING_MS + 5000)
  // Each of them is met ever more seldom: 20 s, 40 s, … 600 s.
  for (const device of crowd) {
    const own = starts.filter(({ action }) => action.device === device)
    assert.ok(own.length <= 11, `${own.length} rounds`)
  }
})

hostile('that asks and does not open holds the others up for 3 s, ever more seldom', () => {
  const easy = newEasy()
  let ready = 0
  for (let nowMs = 10_000; nowMs < 3_600_000; nowMs += 100) {
    const spray = { step: 'ask', address: HARD_ADDRESS } as const
    ready += easy.give({ kind: 'told', device: HARD, spray }, nowMs).length
    easy.give({ kind: 'tick' }, nowMs)
  }
  assert.ok(ready > 5 && ready <= 11, `${ready} times`)
  assert.equal(easy.packets, [])
})

hostile('cannot make an endpoint a path that was not probed', async () => {
  const { easy, run } = newSprayWorld({ natAnswers: false })
  await run(RELAYED_MS + 1000)
  const probed = easy.of('send-probe').map(({ action }) => action.to.port)
  const unprobed = Array.from({ length: 64_000 }, (_, index) => 1024 + index).find(
    (port) => !probed.includes(port),
  )
  const wrong = [
    { device: OTHER, from: { address: HARD_ADDRESS, port: probed[0] ?? 0 } },
    { device: HARD, from: { address: HARD_ADDRESS, port: unprobed ?? 0 } },
    { device: HARD, from: parseEndpoint(`192.0.2.66:${probed[0]}`) },
  ]
  for (const one of wrong) assert.equal(easy.give({ kind: 'answered', ...one }, 7000), [])
  const right = { device: HARD, from: { address: HARD_ADDRESS, port: probed[0] ?? 0 } }
  assert.equal(
    easy.give({ kind: 'answered', ...right }, 7000).map(({ kind }) => kind),
    ['check', 'report'],
  )
})

hostile('cannot take a mapping that was opened to another', async () => {
  const { hard, run } = newSprayWorld({ natAnswers: false })
  await run(RELAYED_MS + 600)
  assert.is(hard.state.round?.kind, 'open')
  for (const wrong of [
    { device: OTHER, from: TARGET },
    { device: EASY, from: parseEndpoint('203.0.113.2:51821') },
    { device: EASY, from: parseEndpoint('192.0.2.66:51820') },
  ])
    assert.equal(hard.give({ kind: 'hit', socket: 3, ...wrong }, 6000), [])
  assert.equal(hard.state.held, [])
})

const held = suite('a path found by spraying (SPEC §10.8)')

held('is kept while it is in use, and given up 15 s after', async () => {
  const { hard, run } = newSprayWorld()
  await run(RELAYED_MS + 100_000)
  assert.equal(hard.reports(), ['started', 'found'])
  assert.equal(hard.of('release'), [])
  hard.knows(EASY, EASY_SIDE, { packetsMs: -Infinity })
  await run(UNUSED_MS - 1000)
  assert.equal(hard.of('release'), [])
  await run(2000)
  assert.equal(hard.of('release')[0]?.action, { kind: 'release', device: EASY, endpoint: TARGET })
  assert.equal(hard.state.held, [])
})

held('is given up at once when the peer is gone, or the host does not divert', async () => {
  for (const lose of ['gone', 'not-diverted'] as const) {
    const { hard, clock, run } = newSprayWorld()
    await run(RELAYED_MS + 12_000)
    if (lose === 'gone') hard.peers.delete(EASY)
    else hard.give({ kind: 'failed', device: EASY, reason: 'no table' }, clock.monotonicMs())
    await run(20)
    assert.is(hard.of('release').length, 1, lose)
    assert.equal(hard.state.held, [])
  }
})

held(
  'is sought again soon when it has lasted, and later when it breaks again and again',
  async () => {
    const { hard, clock, run } = newSprayWorld()
    const gaps: number[] = []
    const lasted = [1000, 1000, 1000, 100_000]
    await run(RELAYED_MS + 12_000)
    for (const ms of lasted) {
      await run(ms)
      const brokeMs = clock.monotonicMs()
      const before = hard.of('say').length
      hard.knows(EASY, EASY_SIDE, { relayedMs: brokeMs })
      while (hard.of('say').length === before && clock.monotonicMs() < brokeMs + 700_000)
        await run(500)
      gaps.push(clock.monotonicMs() - brokeMs)
      await run(1500)
      // The world's NAT answers, and both are direct.
      hard.knows(EASY, EASY_SIDE, { relayedMs: Infinity, direct: TARGET })
    }
    assert.ok((gaps[2] ?? 0) > (gaps[1] ?? 0) && (gaps[1] ?? 0) > (gaps[0] ?? 0), gaps.join(' '))
    assert.ok((gaps[3] ?? 0) < 20_000, gaps.join(' '))
  },
)

held('leaves room: no round begins while 32 paths are held', () => {
  const hard = new SprayAgent(HARD_SIDE, 1)
  hard.knows(EASY, EASY_SIDE)
  const one = { endpoint: TARGET, usedMs: Infinity, wasUsed: true }
  for (const count of [HELD_PATHS, HELD_PATHS - 1]) {
    const devices = Array.from({ length: count }, (_, index) => `member-${index}` as DeviceId)
    for (const device of devices) hard.knows(device, EASY_SIDE, { relayedMs: Infinity })
    hard.state = { ...hard.state, held: devices.map((device) => ({ device, ...one })) }
    hard.give({ kind: 'tick' }, 60_000)
    assert.is(hard.of('say').length, count === HELD_PATHS ? 0 : 1)
  }
})

held('is not begun where no sockets can be had, and nothing stays open that comes too late', () => {
  const hard = new SprayAgent(HARD_SIDE, 1)
  hard.knows(EASY, EASY_SIDE)
  const ready = { step: 'ready', address: HARD_ADDRESS } as const
  hard.give({ kind: 'tick' }, 10_000)
  hard.give({ kind: 'told', device: EASY, spray: ready }, 10_100)
  assert.is(hard.of('open').length, 1)
  hard.give({ kind: 'failed', device: EASY, reason: 'too many files' }, 10_200)
  assert.equal(hard.reports(), ['failed'])
  assert.is(hard.state.round, undefined)
  assert.equal(hard.give({ kind: 'opened', device: EASY }, 10_300), [{ kind: 'close' }])
  assert.equal(hard.give({ kind: 'told', device: EASY, spray: ready }, 10_400), [])
})

rule.run()
hostile.run()
held.run()
