import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { FRAME_BYTES, MANIFEST_BYTES } from '../../protocol/limits.ts'
import {
  difference,
  digestOf,
  encodeSyncMessage,
  IDS_IN_FRAME,
  idFrames,
  idsToCompare,
  isLastIdFrame,
  parseSyncMessage,
  type SyncMessage,
  summaryOf,
  syncable,
} from '../../protocol/sync.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const rule = suite('sync messages (SPEC §7.2)')
const ids = (from: number, count: number): readonly string[] =>
  Array.from({ length: count }, (_, n) =>
    toHex(sha256(Buffer.from(String(from + n))).subarray(0, 16)),
  )
const fake = (id: string, size: number): Envelope =>
  ({ id, bytes: new Uint8Array(size) }) as unknown as Envelope

rule('gives one digest for one set, in any order, and another for any other set', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(500), { maxLength: 60 }), fc.nat(500), (numbers, other) => {
      const set = numbers.flatMap((n) => ids(n, 1))
      assert.equal(digestOf(set), digestOf(set.toReversed()))
      const changed = numbers.includes(other)
        ? set.filter((id) => id !== ids(other, 1)[0])
        : [...set, ...ids(other, 1)]
      assert.not.equal(summaryOf(digestOf(changed)), summaryOf(digestOf(set)))
    }),
  )
})

rule('compares ids only in buckets that differ, and misses none that one side lacks', () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(20), fc.nat(20), (shared, onlyA, onlyB) => {
      const a = [...ids(0, shared), ...ids(10_000, onlyA)]
      const b = [...ids(0, shared), ...ids(20_000, onlyB)]
      const [digestA, digestB] = [digestOf(a), digestOf(b)]
      const compared = idsToCompare(a, digestA, digestB)
      for (const id of ids(10_000, onlyA)) assert.ok(compared.includes(id))
      if (onlyA + onlyB === 0) assert.equal(compared, [])
    }),
  )
})

rule('sends what the other lacks, each once, in frames that fit', () => {
  const sizes = [200, MANIFEST_BYTES, 2048, 300, MANIFEST_BYTES, ...Array(400).fill(290)]
  const held = new Map(ids(0, sizes.length).map((id, n) => [id, fake(id, sizes[n] ?? 0)]))
  const theirs = ids(0, 1)
  const frames = difference(held, [...held.keys()], theirs)
  const sent = frames.flatMap((frame) => (frame.kind === 'envelopes' ? frame.envelopes : []))
  assert.equal(
    sent.map(({ length }) => length),
    sizes.slice(1),
  )
  for (const frame of frames) assert.ok(encodeSyncMessage(frame).length <= FRAME_BYTES)
})

rule('ends a list of ids by a frame that is not full, also when the last one would be', () => {
  for (const count of [0, 1, IDS_IN_FRAME - 1, IDS_IN_FRAME, IDS_IN_FRAME + 1, 2 * IDS_IN_FRAME]) {
    const list = ids(0, count)
    const frames = idFrames(list).map(encodeSyncMessage)
    assert.ok(frames.every(({ length }) => length <= FRAME_BYTES))
    const read = frames.map(parseSyncMessage).map((each) => (each.kind === 'ids' ? each.ids : []))
    assert.equal(read.flat(), list)
    assert.equal(
      read.map(isLastIdFrame),
      read.map((_, n) => n === read.length - 1),
    )
  }
})

rule('reads every message it wrote', () => {
  const digest = digestOf(ids(0, 40))
  const messages: SyncMessage[] = [
    { kind: 'summary', hash: summaryOf(digest) },
    { kind: 'digest', digest },
    { kind: 'ids', ids: ids(0, 3) },
    { kind: 'envelopes', envelopes: [Uint8Array.of(1), new Uint8Array(0)] },
    { kind: 'end' },
  ]
  for (const each of messages) assert.equal(parseSyncMessage(encodeSyncMessage(each)), each)
})

rule('reads a message or throws MalformedError, whatever the bytes', () => {
  const shaped = fc
    .record({ kind: fc.nat(6), body: fc.uint8Array({ maxLength: 40 }) })
    .map(({ kind, body }) => Uint8Array.of(0xa2, 1, kind, 2, 0x58, body.length, ...body))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), shaped), (bytes) => {
      try {
        parseSyncMessage(bytes)
      } catch (error) {
        assert.instance(error, MalformedError)
      }
    }),
  )
})

rule(
  'holds worth sending what is believed and what a revocation names, and nothing that has ended',
  () => {
    const laptop = acme.device('laptop')
    const phone = acme.device('phone')
    const state = acme.state(
      acme.issuerCertificate(),
      acme.manifest({
        sequence: 2,
        revocations: new Map([[phone.serial, seconds(NOON + 86_400)]]),
      }),
      acme.certificate(laptop),
      acme.certificate(phone),
      acme.endpoint(laptop),
      acme.endpoint(acme.device('stranger')),
      acme.route(laptop, '10.99.0.1/32'),
    )
    const kinds = [...syncable(state, NOON).values()].map(({ kind, signer }) => `${kind} ${signer}`)
    assert.equal(
      kinds.map((each) => each.split(' ')[0]),
      [
        'issuer-certificate',
        'manifest',
        'membership-certificate',
        'membership-certificate',
        'endpoint-update',
      ],
    )
    assert.ok(kinds.at(-1)?.endsWith(laptop.id))
    const later = seconds(NOON + 3600)
    assert.not.ok(
      [...syncable(state, later).values()].some(({ kind }) => kind === 'endpoint-update'),
    )
    assert.is(openEnvelope(acme.endpoint(laptop)).kind, 'endpoint-update')
  },
)

rule.run()
