import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openEnvelope } from '../../protocol/envelope.ts'
import { ROUTES_PER_DEVICE } from '../../protocol/limits.ts'
import { Pace, STATEMENTS, StatementPace } from '../../protocol/pace.ts'
import { apply } from '../../protocol/state.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const rule = suite('pace')

rule('lets through a burst, and then so many a second', () => {
  const pace = new Pace({ burst: 5, perSecond: 2 })
  const through = (nowMs: number): number =>
    Array.from({ length: 20 }, () => pace.spend('ant', 1, nowMs)).filter(Boolean).length
  assert.equal([through(0), through(0), through(1000), through(1e6)], [5, 0, 2, 5])
})

rule('counts each by itself', () => {
  const pace = new Pace({ burst: 1, perSecond: 1 })
  assert.equal(
    [pace.spend('ant', 1, 0), pace.spend('ant', 1, 0), pace.spend('bee', 1, 0)],
    [true, false, true],
  )
})

rule('forgets the quietest of too many names', () => {
  const pace = new Pace({ burst: 1, perSecond: 0 })
  pace.spend('ant', 1, 0)
  for (let n = 0; n < 5000; n++) pace.spend(`name ${n}`, 1, 0)
  assert.is(pace.spend('ant', 1, 0), true)
})

rule('takes all statements that a device may have at once', () => {
  assert.ok(STATEMENTS.burst > ROUTES_PER_DEVICE + 1)
})

rule(
  'a device that says too much is not heard for a while; what is known already costs nothing',
  () => {
    const acme = testOrganization('acme')
    const mallory = acme.device('mallory')
    const pace = new StatementPace()
    let state = acme.stateWith('mallory', 'laptop')
    const hear = (bytes: Uint8Array, nowMs: number) => {
      const envelope = openEnvelope(bytes)
      const verdict = pace.hear(envelope, nowMs, () => apply(state, envelope, NOON))
      state = verdict?.state ?? state
      return verdict?.ok
    }
    const said = (sequence: number) => acme.endpoint(mallory, { sequence })
    const taken = Array.from({ length: STATEMENTS.burst + 50 }, (_, n) => hear(said(n + 1), 0))
    assert.is(taken.filter((ok) => ok === true).length, STATEMENTS.burst)
    assert.is(hear(acme.endpoint(acme.device('laptop')), 0), true, 'others are heard')
    assert.is(hear(acme.manifest({ sequence: 2 }), 0), true)
    assert.is(hear(said(900), 1000), true, 'the newest is taken when it comes again')
    for (let n = 0; n < 100; n++) hear(said(900), 1000)
    assert.is(hear(said(901), 1000), true)
  },
)

rule.run()
