import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BATCH,
  PROBES,
  PROBES_PER_SECOND,
  RELAYED_MS,
  ROUND_SPACING_MS,
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
  mostInASecond,
  newSprayWorld,
  SprayAgent,
  TARGET,
} from './spray-world.ts'

const OTHER = 'other' as DeviceId
const rule = suite('a hostile peer of one that sprays (SPEC §10.8)')

function asked(easy: SprayAgent, address: string, nowMs: number, device = HARD): void {
  for (const step of ['ask', 'open'] as const)
    easy.give({ kind: 'told', device, spray: { step, address: parseIpAddress(address) } }, nowMs)
}

function newEasy(): SprayAgent {
  const easy = new SprayAgent(EASY_SIDE, 1)
  easy.knows(HARD, HARD_SIDE)
  return easy
}

rule('cannot name an address that it has not signed to be seen at', () => {
  const easy = newEasy()
  for (const victim of ['192.0.2.66', '10.0.0.2', '127.0.0.1', '203.0.113.2', '2001:db8::1'])
    asked(easy, victim, 60_000)
  assert.equal(easy.actions, [])
  assert.is(easy.state.round, undefined)
})

rule('cannot change the address between asking and opening, nor open without asking', () => {
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

rule('gets no more than the bounds, however often it asks, alone or with others', () => {
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

rule('that asks and does not open holds the others up for 3 s, ever more seldom', () => {
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

rule('cannot make an endpoint a path that was not probed', async () => {
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

rule('cannot take a mapping that was opened to another', async () => {
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

rule.run()
