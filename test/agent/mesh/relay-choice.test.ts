import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AT_ONCE,
  chooseRelays,
  HEARD_MS,
  type RelayEvidence,
  UNREACHABLE_MS,
} from '../../../agent/mesh/relay-choice.ts'

const NOW = 1_000_000
const rule = suite('choice of relays')
const relay = (name: string, change: Partial<RelayEvidence> = {}): RelayEvidence => ({
  name,
  to: 'others',
  isRegistry: false,
  heardAt: undefined,
  unreachableAt: undefined,
  ...change,
})
const chosen = (...relays: RelayEvidence[]): readonly string[] =>
  chooseRelays(relays, NOW).map(({ name }) => name)

rule('sends straight to a peer that is connected, whatever relays there are', () => {
  assert.equal(chosen(relay('a', { heardAt: NOW }), relay('b', { to: 'itself' })), ['b'])
})

rule('sends by the one relay that brought something lately', () => {
  assert.equal(chosen(relay('a'), relay('b', { heardAt: NOW - HEARD_MS + 1 }), relay('c')), ['b'])
})

rule('tries a few at once while none is proved, the registry first and circuits last', () => {
  const all = [
    relay('circuit', { to: 'itself-by-circuit' }),
    relay('a', { heardAt: NOW - HEARD_MS }),
    relay('b'),
    relay('registry', { isRegistry: true }),
    relay('c'),
  ]
  assert.equal(chosen(...all), ['registry', 'a', 'b'])
})

rule('leaves out for a while a relay that does not reach the peer', () => {
  const no = relay('a', { unreachableAt: NOW - UNREACHABLE_MS + 1 })
  assert.equal([chosen(no), chosen(no, relay('b'))], [[], ['b']])
  assert.equal(chosen({ ...no, unreachableAt: NOW - UNREACHABLE_MS }), ['a'])
})

const moment = fc.option(fc.integer({ min: NOW - 60_000, max: NOW }), { nil: undefined })
const evidence = fc.record({
  name: fc.string({ maxLength: 3 }),
  to: fc.constantFrom('itself', 'itself-by-circuit', 'others'),
  isRegistry: fc.boolean(),
  heardAt: moment,
  unreachableAt: moment,
}) as fc.Arbitrary<RelayEvidence>

rule('chooses some of those given, at most a few, and none only when all have said no', () => {
  fc.assert(
    fc.property(fc.array(evidence, { maxLength: 8 }), (relays) => {
      const choice = chooseRelays(relays, NOW)
      assert.ok(choice.length <= AT_ONCE && choice.every((each) => relays.includes(each)))
      const open = relays.filter(
        ({ unreachableAt }) => unreachableAt === undefined || NOW - unreachableAt >= UNREACHABLE_MS,
      )
      assert.is(choice.length === 0, open.length === 0)
    }),
  )
})

rule.run()
