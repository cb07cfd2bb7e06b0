import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import { parseIpAddress, parsePrefix } from '../../protocol/address.ts'
import { type CborMap, type CborValue, decodeCborMap, encodeCbor } from '../../protocol/codec.ts'
import { CANDIDATE_KINDS } from '../../protocol/endpoint-update.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  type Evidence,
  LEFT_OUT_REASONS,
  MESH_LINK_KINDS,
  PAIR_KINDS,
  PATH_PHASES,
  UDP_REACHES,
} from '../../protocol/evidence.ts'
import {
  CANDIDATES,
  EVIDENCE_DROPS,
  EVIDENCE_LINKS,
  EVIDENCE_PAIRS,
  EVIDENCE_PREFIXES,
  EVIDENCE_RELAYS,
} from '../../protocol/limits.ts'
import { NAT_MAPPINGS } from '../../protocol/nat-report.ts'
import { seconds } from '../../protocol/time.ts'
import {
  ANSWER_BYTES,
  encodeAnswer,
  encodeQuestion,
  parseAnswer,
  parseQuestion,
  QUESTION_BYTES,
} from '../../protocol/why.ts'
import { healthyEvidence, pairEvidence } from '../support/evidence.ts'

const rule = suite('why (SPEC §11)')

const count = fc.integer({ min: 0, max: 2 ** 48 })
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined })
/** Plain objects, as the parser makes them. */
const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true })
const endpoint = record({
  address: fc.oneof(fc.ipV4(), fc.ipV6()).map(parseIpAddress),
  port: fc.integer({ min: 1, max: 65535 }),
})
const word = (maxLength: number) =>
  fc.string({ maxLength, unit: fc.constantFrom(...'abcxyz0189-. ü€') })
const label = fc.stringMatching(/^[a-z0-9]{1,63}$/)

const evidences: fc.Arbitrary<Evidence> = record({
  system: word(128),
  nowMs: count,
  listenPort: fc.integer({ min: 1, max: 65535 }),
  mtu: fc.integer({ min: 0, max: 65535 }),
  udp: fc.constantFrom(...UDP_REACHES),
  natMapping: fc.constantFrom(...NAT_MAPPINGS),
  candidates: fc.array(
    fc.tuple(fc.constantFrom(...CANDIDATE_KINDS), endpoint).map(([kind, at]) => ({ kind, ...at })),
    { maxLength: CANDIDATES },
  ),
  path: record({
    phase: fc.constantFrom(...PATH_PHASES),
    sinceAgoMs: count,
    heardAgoMs: maybe(count),
    endpoint: maybe(endpoint),
    roundTripUs: maybe(count),
  }),
  pairs: fc.array(
    fc
      .tuple(
        endpoint,
        record({
          kind: fc.constantFrom(...PAIR_KINDS),
          sent: count,
          answered: count,
          received: count,
          roundTripUs: maybe(count),
          sentAgoMs: maybe(count),
          answeredAgoMs: maybe(count),
          receivedAgoMs: maybe(count),
          blockedForMs: maybe(count),
        }),
      )
      .map(([at, rest]) => ({ ...at, ...rest })),
    { maxLength: EVIDENCE_PAIRS },
  ),
  relay: record({
    available: fc.boolean(),
    names: fc.array(label, { maxLength: EVIDENCE_RELAYS }),
    sent: count,
    answered: count,
    received: count,
    roundTripUs: maybe(count),
    answeredAgoMs: maybe(count),
  }),
  drops: fc.array(record({ reason: word(32), count }), { maxLength: EVIDENCE_DROPS }),
  wireguard: maybe(
    record({
      handshakeAgoMs: maybe(count),
      missingForMs: maybe(count),
      receivedBytes: count,
      sentBytes: count,
      endpoint: maybe(endpoint),
    }),
  ),
  certificateNotAfter: maybe(fc.integer({ min: 0, max: 2 ** 40 }).map(seconds)),
  manifestSequence: count,
  policyUnderstood: fc.boolean(),
  links: fc.array(fc.constantFrom(...MESH_LINK_KINDS), { maxLength: EVIDENCE_LINKS }),
  leftOut: fc.array(
    record({
      prefix: fc.ipV4().map((text) => parsePrefix(`${text}/32`)),
      reason: fc.constantFrom(...LEFT_OUT_REASONS),
    }),
    { maxLength: EVIDENCE_PREFIXES },
  ),
})

const isMalformed = (error: unknown): boolean => error instanceof MalformedError

rule('reads what it wrote, and fits one frame (§11.2)', () => {
  fc.assert(
    fc.property(evidences, (evidence) => {
      const bytes = encodeAnswer({ kind: 'evidence', evidence })
      assert.ok(bytes.length <= ANSWER_BYTES, `${bytes.length} bytes`)
      assert.equal(parseAnswer(bytes), { kind: 'evidence', evidence })
    }),
  )
  const later = { kind: 'later', afterMs: 2000 } as const
  assert.equal(parseAnswer(encodeAnswer(later)), later)
  parseQuestion(encodeQuestion())
  assert.ok(encodeQuestion().length <= QUESTION_BYTES)
})

rule('fits one frame with all lists full of the longest values', () => {
  const most = 2 ** 48
  const at = { address: parseIpAddress('2001:db8:1:2:3:4:5:6'), port: 65535 }
  const times = { roundTripUs: most, sentAgoMs: most, answeredAgoMs: most, receivedAgoMs: most }
  const counts = { sent: most, answered: most, received: most }
  const full = <T>(length: number, value: T): T[] => Array.from({ length }, () => value)
  const evidence = healthyEvidence({
    system: '€'.repeat(128),
    candidates: full(CANDIDATES, { kind: 'host' as const, ...at }),
    pairs: full(EVIDENCE_PAIRS, pairEvidence({ ...at, ...counts, ...times })),
    relay: {
      ...counts,
      available: true,
      names: full(EVIDENCE_RELAYS, 'x'.repeat(63)),
      roundTripUs: most,
      answeredAgoMs: most,
    },
    drops: full(EVIDENCE_DROPS, { reason: '€'.repeat(32), count: most }),
    links: full(EVIDENCE_LINKS, 'circuit' as const),
    leftOut: full(EVIDENCE_PREFIXES, {
      prefix: parsePrefix('2001:db8:1:2:3:4:5:6/128'),
      reason: 'overlaps a local network' as const,
    }),
  })
  const bytes = encodeAnswer({ kind: 'evidence', evidence })
  assert.ok(bytes.length <= ANSWER_BYTES, `${bytes.length} bytes`)
  assert.equal(parseAnswer(bytes), { kind: 'evidence', evidence })
})

rule('reads a value or throws MalformedError, whatever the bytes', () => {
  const total = (read: () => unknown): void => {
    try {
      read()
    } catch (error) {
      assert.instance(error, MalformedError)
    }
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      total(() => parseAnswer(bytes))
      total(() => parseQuestion(bytes))
    }),
  )
  const written = encodeAnswer({ kind: 'evidence', evidence: healthyEvidence() })
  fc.assert(
    fc.property(fc.nat(written.length - 1), fc.nat(255), (place, value) => {
      const changed = Uint8Array.from(written)
      changed[place] = value
      total(() => parseAnswer(changed))
    }),
    { numRuns: 2000 },
  )
  for (let length = 0; length < written.length; length++) {
    assert.throws(() => parseAnswer(written.subarray(0, length)), isMalformed)
  }
})

/** The healthy evidence with one field set, or without it. */
function changed(key: number, value: CborValue | undefined, inside?: number): Uint8Array {
  const map = decodeCborMap(encodeAnswer({ kind: 'evidence', evidence: healthyEvidence() }), 'it')
  const target = inside === undefined ? map : (map.get(inside) as CborMap)
  target.delete(key)
  if (value !== undefined) target.set(key, value)
  return encodeCbor(map)
}

rule('refuses what is missing, too much, of another kind or out of bounds', () => {
  for (const missing of [1, 2, 3, 4, 5, 6, 8, 10, 14, 15]) {
    assert.throws(() => parseAnswer(changed(missing, undefined)), isMalformed)
  }
  const pair = new Map<CborValue, CborValue>([
    [1, [Uint8Array.of(1, 2, 3, 4), 5]],
    [2, 0],
    [3, 0],
    [4, 0],
    [5, 0],
  ])
  const without = (key: number): CborMap => new Map([...pair].filter(([each]) => each !== key))
  const wrong: [number, CborValue][] = [
    [1, 'x'.repeat(129)],
    [1, 'line\nbreak'],
    [1, '\u001b[2J'],
    [2, -1],
    [3, 0],
    [3, 65536],
    [4, 65536],
    [5, 256],
    [6, Array.from({ length: CANDIDATES + 1 }, () => [0, Uint8Array.of(1, 2, 3, 4), 1])],
    [8, []],
    [9, Array.from({ length: EVIDENCE_PAIRS + 1 }, () => pair)],
    [9, [without(1)]],
    [9, [without(2)]],
    [9, [without(3)]],
    [9, [new Map([...pair, [1, [Uint8Array.of(1, 2, 3), 5]]])]],
    [9, [new Map([...pair, [1, [Uint8Array.of(1, 2, 3, 4), 0]]])]],
    [9, [new Map([...pair, [1, [Uint8Array.of(1, 2, 3, 4), 1, 1]]])]],
    [9, [new Map([...pair, [6, -1]])]],
    [10, 7],
    [11, Array.from({ length: EVIDENCE_DROPS + 1 }, () => ['x', 1])],
    [11, [['x']]],
    [11, [['x'.repeat(33), 1]]],
    [12, 0],
    [13, -1],
    [14, 2 ** 48 + 1],
    [15, 1],
    [16, Array.from({ length: EVIDENCE_LINKS + 1 }, () => 0)],
    [16, ['direct']],
    [17, [['10.0.0.1/8', 0]]],
    [17, Array.from({ length: EVIDENCE_PREFIXES + 1 }, () => ['10.0.0.0/8', 0])],
  ]
  for (const [key, value] of wrong) {
    assert.throws(() => parseAnswer(changed(key, value)), isMalformed, `${key}: ${String(value)}`)
  }
  assert.throws(
    () => parseAnswer(changed(13, Array(EVIDENCE_RELAYS + 1).fill('x'), 10)),
    isMalformed,
  )
  assert.throws(() => parseAnswer(changed(12, 0, 10)), isMalformed)
  for (const later of [-1, 'soon', 2 ** 48 + 1]) {
    assert.throws(() => parseAnswer(encodeCbor(new Map([[0, later]]))), isMalformed)
  }
  assert.throws(() => parseQuestion(encodeCbor([])), isMalformed)
})

rule('ignores fields that it does not know, and reads values of later versions (§3.8)', () => {
  const known = { kind: 'evidence', evidence: healthyEvidence() }
  assert.equal(parseAnswer(changed(99, ['something new'])), known)
  parseQuestion(encodeCbor(new Map([[5, 'tell me more']])))
  const read = parseAnswer(changed(5, 200))
  assert.is(read.kind === 'evidence' ? read.evidence.udp : '', 'unknown')
})

rule('has the bytes of the vectors', () => {
  const vectors = JSON.parse(readFileSync('test/vectors/why.json', 'utf8')) as {
    name: string
    hex: string
    refused?: boolean
  }[]
  const written = new Map([
    ['question', encodeQuestion()],
    ['later', encodeAnswer({ kind: 'later', afterMs: 2000 })],
    ['healthy', encodeAnswer({ kind: 'evidence', evidence: healthyEvidence() })],
  ])
  for (const { name, hex, refused } of vectors) {
    if (refused === true) assert.throws(() => parseAnswer(fromHex(hex)), isMalformed, name)
    else assert.is(toHex(written.get(name) ?? new Uint8Array(0)), hex, name)
  }
  assert.is(vectors.length, written.size + 3)
})

rule.run()
