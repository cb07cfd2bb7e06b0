import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  answered,
  askAgainMs,
  DOWN_AFTER,
  overdue,
  overdueAfterMs,
  type ReachHealth,
  unasked,
} from '../../../agent/routes/reach-health.ts'
import {
  chooseRouter,
  NO_CHOICE,
  PROVED_SHARE,
  RETURN_MS,
  type Router,
  type RouterChoice,
} from '../../../agent/routes/router-choice.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { seededRandom } from '../../../simulations/world/virtual-clock.ts'
import { router } from './routers.ts'

const [A, B, C] = ['a', 'b', 'c'] as DeviceId[] as [DeviceId, DeviceId, DeviceId]
const rule = suite('router choice (SPEC §8.6)')

rule('takes the first by rank that answers', () => {
  assert.is(chooseRouter(NO_CHOICE, [router(A), router(B)], 0).device, A)
  assert.is(chooseRouter(NO_CHOICE, [router(A, { isUp: false }), router(B)], 0).device, B)
  assert.is(chooseRouter(NO_CHOICE, [], 0).device, undefined)
})

rule('goes to the next when the one in use fails, and says why', () => {
  const first = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  for (const [change, reason] of [
    [{ isUp: false }, 'the one before does not answer'],
    [{ hasFailedProbe: true }, 'the target behind the one before does not answer'],
  ] as const) {
    const next = chooseRouter(first, [router(A, change), router(B)], 10)
    assert.is(next.device, B)
    assert.is(next.reason, reason)
  }
  // One that drains is ranked last.
  const drained = chooseRouter(first, [router(B), router(A, { isDraining: true })], 10)
  assert.equal([drained.device, drained.reason], [B, 'the one before drains'])
  assert.equal(chooseRouter(first, [router(B)], 10).reason, 'the one before was withdrawn')
})

rule('uses one that drains on for as long as it asks, while it works', () => {
  const first = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  const drains = { isDraining: true, usedUntilMs: 500 }
  const at = (nowMs: number, change = {}): RouterChoice['device'] =>
    chooseRouter(first, [router(B), router(A, { ...drains, ...change })], nowMs).device
  assert.equal([at(499), at(500)], [A, B])
  assert.equal([at(1, { isUp: false }), at(1, { hasFailedProbe: true })], [B, B])
  assert.is(chooseRouter(NO_CHOICE, [router(B), router(A, drains)], 1).device, B)
})

rule('leaves one that drains for one that it had left just before', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  choice = chooseRouter(choice, [router(A, { isUp: false }), router(B)], 1000)
  const drains = [router(A, { upSinceMs: 2000 }), router(B, { isDraining: true })]
  assert.is(chooseRouter(choice, drains, 3000).device, A)
  const both = [A, B].map((device) => router(device, { isDraining: true }))
  choice = chooseRouter(choice, both, 4000)
  for (let nowMs = 5000; nowMs < 60_000; nowMs += 1000) choice = chooseRouter(choice, both, nowMs)
  assert.ok(choice.switches <= 2, `${choice.switches}`)
})

rule('stays with one that drains or fails where there is no other', () => {
  const first = chooseRouter(NO_CHOICE, [router(A)], 0)
  assert.is(chooseRouter(first, [router(A, { isDraining: true })], 1).device, A)
  assert.is(chooseRouter(first, [router(A, { isUp: false })], 1).device, A)
  const both = [router(A, { isUp: false }), router(B, { isUp: false })]
  assert.is(chooseRouter(first, both, 1).device, A)
})

rule('goes back to a better one only when that has worked for a while without a break', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  choice = chooseRouter(choice, [router(A, { isUp: false }), router(B)], 1000)
  const back = router(A, { upSinceMs: 5000 })
  choice = chooseRouter(choice, [back, router(B)], 5000 + RETURN_MS.first - 1)
  assert.is(choice.device, B)
  choice = chooseRouter(choice, [back, router(B)], 5000 + RETURN_MS.first)
  assert.equal([choice.device, choice.reason], [A, 'the better one works again'])
})

rule('waits twice as long each time', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  let nowMs = 0
  const waits: number[] = []
  for (let time = 0; time < 7; time += 1) {
    choice = chooseRouter(choice, [router(A, { isUp: false }), router(B)], ++nowMs)
    const upSinceMs = ++nowMs
    while (choice.device === B) {
      nowMs += 1000
      choice = chooseRouter(choice, [router(A, { upSinceMs }), router(B)], nowMs)
    }
    waits.push(Math.round((nowMs - upSinceMs) / 1000))
  }
  assert.equal(waits, [30, 60, 120, 240, 480, 600, 600])
})

rule('takes a new router of better rank at once', () => {
  const choice = chooseRouter(NO_CHOICE, [router(B)], 0)
  assert.is(chooseRouter(choice, [router(A, { upSinceMs: 9 }), router(B)], 10).device, A)
})

rule('tries one whose target failed again only when it says something new', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  choice = chooseRouter(choice, [router(A, { hasFailedProbe: true }), router(B)], 1)
  assert.is(choice.device, B)
  const later = RETURN_MS.first + 10
  assert.is(chooseRouter(choice, [router(A), router(B)], later).device, B)
  assert.is(chooseRouter(choice, [router(A, { sequence: 2 }), router(B)], later).device, A)
  assert.is(chooseRouter(choice, [router(A), router(B)], RETURN_MS.most + 10).device, A)
})

rule('tries one whose target failed at once when what had proved itself meanwhile fails', () => {
  const at = (provedMs: number, change: Partial<Router> = {}): RouterChoice => {
    let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
    choice = chooseRouter(choice, [router(A, { hasFailedProbe: true }), router(B)], 1)
    const fails = router(B, { hasFailedProbe: true, provedMs })
    return chooseRouter(choice, [router(A, change), fails], RETURN_MS.first / 2)
  }
  const needed = RETURN_MS.first * PROVED_SHARE
  assert.is(needed, 5000)
  const { device, reason } = at(needed)
  assert.equal([device, reason], [A, 'the target behind the one before does not answer'])
  assert.is(at(needed - 1).device, B)
  assert.is(at(needed, { isUp: false }).device, B)
  assert.is(at(needed, { isDraining: true }).device, B)
})

rule('does not go round in circles where the target fails behind every router', () => {
  let choice: RouterChoice = NO_CHOICE
  for (let nowMs = 0; nowMs < 60_000; nowMs += 250) {
    const routers = [A, B, C].map((device) =>
      router(device, { hasFailedProbe: choice.device === device && nowMs > choice.sinceMs + 1500 }),
    )
    choice = chooseRouter(choice, routers, nowMs)
  }
  assert.ok(choice.switches <= 6, `${choice.switches}`)
})

rule('tries one whose target failed lately rather than one that is dead, and stays there', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B)], 0)
  choice = chooseRouter(choice, [router(A, { hasFailedProbe: true }), router(B)], 1)
  choice = chooseRouter(choice, [router(A), router(B, { isUp: false })], 1000)
  assert.is(choice.device, A)
  for (let nowMs = 2000; nowMs < 20_000; nowMs += 1000)
    choice = chooseRouter(
      choice,
      [router(A, { hasFailedProbe: true }), router(B, { isUp: false })],
      nowMs,
    )
  assert.equal([choice.device, choice.switches], [A, 2])
})

rule('does not move between routers that are all dead', () => {
  let choice = chooseRouter(NO_CHOICE, [router(A), router(B), router(C)], 0)
  for (let nowMs = 0; nowMs < 60_000; nowMs += 1000)
    choice = chooseRouter(
      choice,
      [A, B, C].map((device) => router(device, { isUp: nowMs < 1000 && device !== A })),
      nowMs,
    )
  assert.ok(choice.switches <= 1, `${choice.switches}`)
})

/** Probes of what lies behind the router in use, anew after each switch; both paths work. Resolves with when it switched,
 *  in seconds. */
function followTarget(
  seconds: number,
  isDown: (device: DeviceId, ms: number) => boolean,
): readonly number[] {
  let [health, choice, nowMs] = [unasked(0), NO_CHOICE, 0]
  const switchedS: number[] = []
  while (nowMs < seconds * 1000) {
    const { device: used = A, switches } = choice
    nowMs += isDown(used, nowMs) ? overdueAfterMs(health) : 40
    health = isDown(used, nowMs) ? overdue(health, nowMs) : answered(health, 40, nowMs)
    const routers = [A, B].map((device) => {
      const { isUp, provedMs } = device === used ? health : { isUp: true, provedMs: 0 }
      return router(device, { hasFailedProbe: !isUp, provedMs })
    })
    choice = chooseRouter(choice, routers, nowMs)
    if (choice.switches > switches) {
      switchedS.push(Math.round(nowMs / 1000))
      health = unasked(nowMs)
    } else nowMs += askAgainMs(health, true)
  }
  return switchedS
}

rule('goes to and fro at once between routers whose targets fail in turn', () => {
  // A's fails at 10 s and is mended at 15 s; B's fails at 25 s.
  const switchedS = followTarget(60, (device, ms) =>
    device === A ? ms > 10_000 && ms < 15_000 : ms > 25_000,
  )
  assert.is(switchedS.length, 2, `${switchedS}`)
  assert.ok(Number(switchedS[1]) <= 28, `${switchedS}`)
})

rule('tries the other one after waits alone where the target is down behind both', () => {
  const switchedS = followTarget(600, (_, ms) => ms > 60_000)
  // Away at once; then after 30, 30, 60, 60, 120 and 120 seconds.
  assert.ok(switchedS.length <= 7, `${switchedS}`)
  const gaps = switchedS.slice(1).map((atS, index) => atS - Number(switchedS[index]))
  assert.ok(Math.min(...gaps) >= 29, `${switchedS}`)
})

rule('switches at most 12 times in half an hour while the target flaps slowly behind both', () => {
  const counts = [2, 5, 10, 20, 40, 60].map((upS) => {
    const isDown = (_: DeviceId, ms: number): boolean => (ms / 1000) % (2 * upS) >= upS
    return [upS, followTarget(1800, isDown).length] as const
  })
  for (const [upS, switches] of counts)
    assert.ok(switches <= 12, `${upS} s up, ${upS} s down: ${switches}`)
})

/** An echo a second, four times as often once one is overdue, of a router that is up or down by `isDown`. */
function follow(seconds: number, isDown: (ms: number) => boolean): RouterChoice {
  let health: ReachHealth = unasked(0)
  let choice = NO_CHOICE
  for (let nowMs = 0; nowMs < seconds * 1000; ) {
    const roundTripMs = 40
    if (isDown(nowMs)) nowMs += overdueAfterMs(health)
    else nowMs += roundTripMs
    health = isDown(nowMs) ? overdue(health, nowMs) : answered(health, roundTripMs, nowMs)
    const first = router(A, { isUp: health.isUp, upSinceMs: health.sinceMs })
    choice = chooseRouter(choice, [first, router(B)], nowMs)
    nowMs += askAgainMs(health, true)
  }
  return choice
}

rule('switches at most twice while a router flaps once a second for ten minutes', () => {
  for (const share of [0.1, 0.25, 0.5, 0.75, 0.9]) {
    const { switches } = follow(600, (ms) => (ms / 1000) % 1 < share)
    assert.ok(switches <= 2, `down for ${share} of each second: ${switches}`)
  }
})

rule('switches seldom whatever the rhythm of the flapping', () => {
  for (const periodMs of [500, 1000, 2000, 3000, 7000, 20_000, 50_000]) {
    const { switches } = follow(600, (ms) => ms % periodMs < periodMs / 2)
    assert.ok(switches <= 2, `${periodMs} ms: ${switches}`)
  }
})

rule('is not driven away by packets that are lost now and then', () => {
  const random = seededRandom(7)
  const lost = Array.from({ length: 100_000 }, () => random() < 0.05)
  let index = 0
  const { switches } = follow(3600, () => lost[index++ % lost.length] ?? false)
  assert.ok(switches <= 1, `${switches}`)
})

rule('has left a dead router within 2.5 seconds', () => {
  for (let phase = 0; phase < 1000; phase += 50) {
    let health = answered(unasked(0), 40, 0)
    let nowMs = 1000
    const diedMs = phase
    while (health.isUp) {
      nowMs += overdueAfterMs(health)
      health = overdue(health, nowMs)
      if (health.isUp) nowMs += Math.max(0, askAgainMs(health, true) - overdueAfterMs(health))
    }
    assert.ok(nowMs - diedMs <= 2500, `${nowMs - diedMs} ms after phase ${phase}`)
    assert.is(health.unanswered, DOWN_AFTER.unanswered)
  }
})

rule.run()
