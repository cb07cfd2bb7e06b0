import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { idleState, initialState, type PathState } from '../../../agent/path/path-state.ts'
import { type Activity, activityOf } from '../../../agent/path/tunnel-looks.ts'

const rule = suite('looks at WireGuard')
const NOW = 1_000_000
const sought = { ...initialState(true, [], NOW), trafficMs: NOW }
const withSession = (upMs: number, initiatedMs = -Infinity): PathState['session'] => ({
  ...sought.session,
  ...{ upMs, initiatedMs },
})

rule('are close while there may be something new to see, and seldom where nothing is', () => {
  const states: readonly [string, PathState, Activity][] = [
    ['nobody asks for it', idleState(true, [], NOW), 'idle'],
    ['sought in vain', sought, 'idle'],
    ['initiated just now', { ...sought, session: withSession(-Infinity, NOW - 9000) }, 'resting'],
    ['initiated long ago', { ...sought, session: withSession(-Infinity, NOW - 11_000) }, 'idle'],
    ['heard of', { ...sought, heardMs: NOW - 1000 }, 'busy'],
    ['lost its path', { ...sought, session: withSession(NOW - 100_000) }, 'busy'],
    ['by a relay', { ...sought, phase: { kind: 'relayed' } }, 'busy'],
    ['by a relay, at rest', { ...sought, phase: { kind: 'relayed' }, trafficMs: 0 }, 'resting'],
  ]
  const found = states.map(([what, state]) => [what, activityOf(state, NOW)])
  assert.equal(
    found,
    states.map(([what, , activity]) => [what, activity]),
  )
})

rule.run()
