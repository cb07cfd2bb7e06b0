import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ANSWERED_MS,
  AT_ONCE,
  chooseRelays,
  HEARD_MS,
  type RelayEvidence,
  UNREACHABLE_MS,
} from '../../../agent/mesh/relay-choice.ts'

const NOW = 1_000_000
const rule = suite('choice of relays')
const relay = (name: string, change: Partial<RelayEvidence> = {}): RelayEvidence => ({
  id: `id of ${name}`,
  name,
  to: 'others',
  isRegistry: false,
  isDoubted: false,
  heardAt: undefined,
  unreachableAt: undefined,
  roundTripMs: undefined,
  answeredAt: undefined,
  askedAt: undefined,
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

const measured = (name: string, roundTripMs: number, change: Partial<RelayEvidence> = {}) =>
  relay(name, { heardAt: NOW, answeredAt: NOW - 100, roundTripMs, ...change })
const staying = (current: string, ...relays: RelayEvidence[]): readonly string[] =>
  chooseRelays(relays, NOW, `id of ${current}`).map(({ name }) => name)

rule('sends by the relay with the shortest round trip to the peer, the registry or not', () => {
  const registry = measured('registry', 90, { isRegistry: true })
  assert.equal(chosen(registry, measured('far', 120), measured('near', 40)), ['near'])
  assert.equal(chosen(registry, relay('unmeasured', { heardAt: NOW })), ['registry'])
})

rule('stays with a relay unless another is faster by a quarter and 2 ms', () => {
  const current = measured('current', 40)
  assert.equal(staying('current', measured('other', 28.1), current), ['current'])
  assert.equal(staying('current', measured('other', 27.9), current), ['other'])
  assert.equal(staying('other', measured('other', 28.1), current), ['other'])
})

rule('leaves at once a relay that is silent, and one through which a check is late', () => {
  const second = measured('second', 400)
  assert.equal(staying('first', measured('first', 10, { isDoubted: true }), second), ['second'])
  const late = { askedAt: NOW - 400, heardAt: NOW - 500 }
  assert.equal(staying('first', measured('first', 10, late), second), ['second'])
  const patient = { askedAt: NOW - 399, heardAt: NOW - 500 }
  assert.equal(staying('first', measured('first', 10, patient), second), ['first'])
  assert.equal(staying('first', measured('first', 10, { ...late, heardAt: NOW - 300 }), second), [
    'first',
  ])
})

rule('waits three round trips for a check, but never longer than 1.5 s', () => {
  const second = measured('second', 9000)
  const asked = (roundTripMs: number, agoMs: number) =>
    measured('first', roundTripMs, { askedAt: NOW - agoMs, heardAt: undefined })
  assert.equal(staying('first', asked(300, 899), second), ['first'])
  assert.equal(staying('first', asked(300, 900), second), ['second'])
  assert.equal(staying('first', asked(8000, 1500), second), ['second'])
})

rule('leaves a peer that is connected but silent for a relay that is not', () => {
  const itself = relay('peer', { to: 'itself', askedAt: NOW - 1500 })
  assert.equal(chosen(itself, measured('relay', 50)), ['relay'])
})

rule('goes by a silent relay rather than by none', () => {
  assert.equal(chosen(measured('only', 10, { isDoubted: true })), ['only'])
})

rule('takes a circuit to the peer only where no relay is proved, however fast it is', () => {
  const circuit = measured('circuit', 5, { to: 'itself-by-circuit' })
  assert.equal(staying('circuit', circuit, measured('relay', 50)), ['relay'])
  assert.equal(chosen(circuit, relay('unproved')), ['circuit'])
})

rule('forgets a measured round trip after a while', () => {
  const old = { heardAt: undefined, answeredAt: NOW - ANSWERED_MS }
  assert.equal(chosen(measured('old', 1, old), measured('new', 900)), ['new'])
})

const moment = fc.option(fc.integer({ min: NOW - 60_000, max: NOW }), { nil: undefined })
const evidence = fc.record({
  name: fc.string({ maxLength: 3 }),
  to: fc.constantFrom('itself', 'itself-by-circuit', 'others'),
  isRegistry: fc.boolean(),
  id: fc.string({ maxLength: 3 }),
  isDoubted: fc.boolean(),
  heardAt: moment,
  unreachableAt: moment,
  answeredAt: moment,
  askedAt: moment,
  roundTripMs: fc.option(fc.double({ min: 0.1, max: 3000, noNaN: true }), { nil: undefined }),
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
