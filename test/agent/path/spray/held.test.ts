import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HELD_PATHS, RELAYED_MS, UNUSED_MS } from '../../../../agent/path/spray/limits.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import {
  EASY,
  EASY_SIDE,
  HARD,
  HARD_ADDRESS,
  HARD_SIDE,
  newSprayWorld,
  SprayAgent,
  TARGET,
} from './spray-world.ts'

const rule = suite('a path found by spraying (SPEC §10.8)')

rule('is kept while it is in use, and given up 15 s after', async () => {
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

rule('is given up at once when the peer is gone, or the host does not divert', async () => {
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

rule(
  'is sought again soon when it has lasted, and later when it breaks again and again',
  async () => {
    const { hard, easy, clock, run } = newSprayWorld()
    const gaps: number[] = []
    const lasted = [1000, 1000, 1000, 100_000]
    await run(RELAYED_MS + 12_000)
    for (const ms of lasted) {
      await run(ms)
      const brokeMs = clock.monotonicMs()
      const before = hard.of('say').length
      hard.knows(EASY, EASY_SIDE, { relayedMs: brokeMs })
      easy.knows(HARD, HARD_SIDE, { relayedMs: brokeMs })
      while (hard.of('say').length === before && clock.monotonicMs() < brokeMs + 700_000)
        await run(500)
      gaps.push(clock.monotonicMs() - brokeMs)
      await run(12_000)
      assert.is(hard.of('hold').length, gaps.length + 1)
    }
    assert.ok((gaps[2] ?? 0) > (gaps[1] ?? 0) && (gaps[1] ?? 0) > (gaps[0] ?? 0), gaps.join(' '))
    assert.ok((gaps[3] ?? 0) < 20_000, gaps.join(' '))
  },
)

rule('may be found by an opener that is let in: then the easy side has nothing to do', () => {
  const easy = new SprayAgent(EASY_SIDE, 1)
  easy.knows(HARD, HARD_SIDE)
  easy.give({ kind: 'told', device: HARD, spray: { step: 'ask', address: HARD_ADDRESS } }, 10_000)
  const direct = { address: HARD_ADDRESS, port: 4242 }
  easy.knows(HARD, HARD_SIDE, { relayedMs: Infinity, direct })
  easy.give({ kind: 'tick' }, 10_500)
  assert.equal(easy.reports(), ['found'])
  assert.is(easy.state.round, undefined)
  easy.give({ kind: 'told', device: HARD, spray: { step: 'open', address: HARD_ADDRESS } }, 10_600)
  assert.equal(easy.packets, [])
})

rule('leaves room: no round begins while 32 paths are held', () => {
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

rule('is not begun where no sockets can be had, and nothing stays open that comes too late', () => {
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
