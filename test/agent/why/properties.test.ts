import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WhyFacts } from '../../../agent/why/facts.ts'
import { editDistance, nearNames } from '../../../agent/why/near-names.ts'
import { reportOf, WHY } from '../../../agent/why/report.ts'
import { whyText } from '../../../agent/why/text.ts'
import { verdictOf } from '../../../agent/why/verdict.ts'
import { duration } from '../../../agent/why/wording.ts'
import type { Refusal } from '../../../protocol/belief.ts'
import { type Evidence, PATH_PHASES, UDP_REACHES } from '../../../protocol/evidence.ts'
import { NAT_MAPPINGS } from '../../../protocol/nat-report.ts'
import { pairEvidence } from '../../support/evidence.ts'
import { factsWith, NO_LINK, path, wireguard } from './facts.ts'

const rule = suite('verdict and report, whatever the facts')

const age = fc.constantFrom(undefined, 0, 400, 30_000, 5_000_000)
const side: fc.Arbitrary<Partial<Evidence>> = fc
  .record({
    phase: fc.constantFrom(...PATH_PHASES),
    sinceAgoMs: fc.constantFrom(0, 3000, 90_000),
    heardAgoMs: age,
    udp: fc.constantFrom(...UDP_REACHES),
    natMapping: fc.constantFrom(...NAT_MAPPINGS),
    counts: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)),
    missing: age,
    isTunnelled: fc.boolean(),
    manifestSequence: fc.constantFrom(7, 7, 7, 8),
    policyUnderstood: fc.constantFrom(true, true, true, false),
    names: fc.constantFrom([], ['hub'], ['phone'], ['registry']),
  })
  .map(({ phase, sinceAgoMs, heardAgoMs, counts: [sent, answered, received], ...rest }) => ({
    path: path(phase, { sinceAgoMs, heardAgoMs }),
    pairs: sent === 0 ? [] : [pairEvidence({ sent, answered, received })],
    udp: rest.udp,
    natMapping: rest.natMapping,
    wireguard: rest.isTunnelled ? wireguard(rest.missing) : undefined,
    manifestSequence: rest.manifestSequence,
    policyUnderstood: rest.policyUnderstood,
    relay: {
      available: rest.names.length > 0,
      names: rest.names,
      sent,
      answered,
      received,
      roundTripUs: undefined,
      answeredAgoMs: undefined,
    },
  }))

const replies: fc.Arbitrary<Partial<WhyFacts>> = fc.constantFrom<Partial<WhyFacts>>(
  {},
  {},
  {},
  { reply: NO_LINK },
  { reply: { kind: 'not-connected', refusal: 'clock: the two clocks differ' } },
  { reply: { kind: 'unanswered', reason: 'timed out' } },
  { reply: { kind: 'not-understood' } },
  { reply: { kind: 'later', afterMs: 2000 } },
)
const standings = fc.constantFrom<Refusal | undefined>(
  ...[undefined, undefined, undefined, undefined, undefined, undefined],
  ...(['revoked', 'expired', 'unknown-issuer'] as const),
)

const facts: fc.Arbitrary<WhyFacts> = fc
  .tuple(side, side, replies, standings, standings, fc.constantFrom(0, 0, 0, 400_000), fc.nat(2))
  .map(([ours, theirs, reply, ownStanding, standing, clockAheadMs, connections]) =>
    factsWith({ ours, theirs, clockAheadMs, ...reply, ownStanding, standing, connections }),
  )

/** What a code says of the facts: it must be so. */
const MEANS: Partial<Record<string, (known: WhyFacts) => boolean>> = {
  direct: ({ ours }) => ours.path.phase === 'direct',
  idle: ({ ours }) => ours.path.phase === 'idle',
  offline: ({ reply }) => reply.kind === 'not-connected',
  isolated: ({ reply, connections }) => reply.kind === 'not-connected' && connections === 0,
  relayed: ({ ours }) => ours.path.phase === 'relay',
  'hard-nats': ({ ours }) => ours.path.phase === 'relay' && /dependent$/.test(ours.natMapping),
  'no-relay': ({ ours }) => ours.path.phase !== 'direct' && ours.path.phase !== 'relay',
  revoked: ({ standing }) => standing === 'revoked',
  clock: ({ reply }) => reply.kind === 'answered' || reply.kind === 'not-connected',
  'self-not-member': ({ ownStanding }) => ownStanding !== undefined,
}

rule('is total, names the peer or this device, and contradicts no fact', () => {
  fc.assert(
    fc.property(facts, (known) => {
      const { code, sentence, advice } = verdictOf(known)
      assert.match(sentence, /(phone|laptop).*\.$/)
      assert.not.match(sentence, /undefined|NaN|Infinity/)
      assert.not.match(advice, /undefined|NaN|Infinity/)
      assert.ok(advice.length > 0)
      assert.is(MEANS[code]?.(known) ?? true, true, `${code}: ${sentence}`)
      if (/^phone is reached directly/.test(sentence)) assert.is(known.ours.path.phase, 'direct')
      if (/^phone is reached by the relay/.test(sentence)) assert.is(known.ours.path.phase, 'relay')
      if (known.standing !== undefined) assert.not.match(sentence, /is reached/)
    }),
    { numRuns: 1000 },
  )
})

rule('the report passes through JSON and its own shape, and reads as text, verdict first', () => {
  fc.assert(
    fc.property(facts, (known) => {
      const report = reportOf(known, verdictOf(known))
      const read = WHY.parse(JSON.parse(JSON.stringify(report)))
      assert.equal(read, JSON.parse(JSON.stringify(report)), 'nothing that the shape does not know')
      const text = whyText(read)
      assert.ok(
        text.startsWith(`${report.verdict.sentence}\nWhat to do: ${report.verdict.advice}\n`),
      )
      assert.not.match(text, /undefined|NaN|Infinity|\[object/)
      assert.is(report.theirs === undefined, known.reply.kind !== 'answered')
    }),
    { numRuns: 60 },
  )
})

rule('the text of a healthy pair, as a person sees it', () => {
  const known = factsWith()
  const lines = whyText(reportOf(known, verdictOf(known))).split('\n')
  assert.equal(lines.slice(0, 9), [
    'phone is reached directly at 198.51.100.7:51820 (40.1 ms), for 3 min.',
    'What to do: Nothing to do.',
    '',
    'asked           answered',
    'membership      member, certificate until 2026-01-02T12:00:00.000Z',
    'last update     2 h ago: endpoint-independent mapping, host 192.168.2.10:51820, nexd 0.1.0, linux',
    "clock of phone  0.00 s ahead of this one's (± 0.02 s)",
    'policy          laptop: revision 3 enforced; phone: revision 3 enforced; to phone: ping passes; from it: ping passes',
    'registry        connected, answered last; 3 mesh connections',
  ])
  const row = (label: string): string | undefined => lines.find((line) => line.startsWith(label))
  assert.match(row('NAT mapping') ?? '', /^NAT mapping {8}endpoint-independent +endpoint-ind/)
  assert.match(row('path') ?? '', /direct 198\.51\.100\.7:51820, 40\.1 ms, for 3 min {2}direct/)
  assert.match(row('handshake') ?? '', /95 s ago +95 s ago$/)
  assert.ok(lines.includes('Checks of laptop to phone:'))
  assert.ok(lines.includes('Checks of phone to laptop:'))
  assert.match(
    row('198.51.100.7:51820') ?? '',
    /server-reflexive +12 +1 s ago +11 +1 s ago +40\.1 ms +9 +1 s ago$/,
  )
})

rule('names near what was typed, the nearest first, and few', () => {
  const names = ['phone', 'phone-2', 'laptop', 'iphone', 'tablet', 'one', 'stone', 'phones']
  assert.equal(nearNames('fone', names), ['one', 'phone', 'stone'])
  assert.equal(nearNames('pho', names), ['phone', 'phone-2', 'phones'])
  assert.equal(nearNames('server', names), [])
  assert.ok(
    nearNames(
      '',
      Array.from({ length: 100 }, (_, n) => `n${n}`),
    ).length <= 5,
  )
  fc.assert(
    fc.property(fc.string({ maxLength: 6 }), fc.string({ maxLength: 6 }), (a, b) => {
      assert.is(editDistance(a, b), editDistance(b, a))
      assert.is(editDistance(a, b) === 0, a === b)
    }),
  )
})

rule('words a length of time by its greatest unit', () => {
  const cases: [number, string][] = [
    [0, '0 s'],
    [1499, '1 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [7_199_000, '119 min'],
    [7_200_000, '2 h'],
    [172_800_000, '2 d'],
    [-5000, '5 s'],
  ]
  for (const [ms, text] of cases) assert.is(duration(ms), text)
})

rule.run()
