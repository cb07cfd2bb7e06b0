// time limit: 120 s
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { currentManifest, memberOf, membersOf } from '../../protocol/belief.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import { routeClaims } from '../../protocol/route-claims.ts'
import {
  apply,
  applyAll,
  emptyState,
  envelopesOf,
  type OrganizationState,
} from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const evil = testOrganization('evil')
const devices = ['a', 'b', 'c'].map((name) => acme.device(name))
const prefixes = [parsePrefix('10.99.0.0/24')]
const end = seconds(NOON + 86_400)

const approver = acme.device('a')
const lock = { approvers: [approver.key.publicKey], since: seconds(NOON - 120) }
const successor = signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(8))

/** All that three devices, an issuer and a hostile organization may have said. */
const everything: readonly Envelope[] = [
  acme.issuerCertificate(),
  acme.issuerCertificate({ notBefore: seconds(NOON - 2 * 86_400) }),
  evil.issuerCertificate(),
  acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock }),
  acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock, issuer: successor }),
  ...devices.flatMap((device) => [
    acme.approval(approver, device),
    acme.approval(approver, device, { sequence: 2, decision: 'denied' }),
    acme.approval(device, device),
  ]),
  evil.manifest({ sequence: 50 }),
  ...[1, 2, 3].map((sequence) => acme.manifest({ sequence })),
  acme.manifest({ sequence: 3, name: 'forked' }),
  acme.manifest({ sequence: 4, revocations: new Map([[devices[0]?.serial ?? '', end]]) }),
  acme.manifest({ sequence: 9 }, evil.issuer),
  ...devices.flatMap((device) => [
    acme.certificate(device, { prefixes }),
    acme.certificate(device, { prefixes: [], manifestSequence: 2 }),
    acme.certificate(device, { manifestSequence: 99 }, evil.issuer),
    acme.endpoint(device, { sequence: 1 }),
    acme.endpoint(device, { sequence: 2 }),
    acme.endpoint(device, { sequence: 2, system: 'twin' }),
    acme.route(device, '10.99.0.1/32', { epoch: 1 }),
    acme.route(device, '10.99.0.1/32', { epoch: 5, sequence: 2 }),
    acme.route(device, '10.99.0.1/32', { sequence: 3, state: 'withdrawn' }),
  ]),
].map(openEnvelope)

/** The issuer is given up, and whoever has its key goes on signing. */
const givenUp: readonly Envelope[] = [
  acme.issuerCertificate({ notBefore: seconds(NOON - 1800), issuer: successor }),
  acme.manifest({ sequence: 5, issuers: [successor.publicKey] }, successor),
  acme.manifest({ sequence: 2 ** 48 }),
].map(openEnvelope)

const ids = (state: OrganizationState): readonly string[] =>
  envelopesOf(state)
    .map(({ id }) => id)
    .toSorted()
const after = (envelopes: readonly Envelope[], from = emptyState(acme.id)): OrganizationState =>
  envelopes.reduce((state, envelope) => apply(state, envelope, NOON).state, from)
const belief = (state: OrganizationState): unknown => [
  currentManifest(state, NOON)?.id,
  [...membersOf(state, NOON)].map(([device, member]) => [
    device,
    member.envelope.id,
    member.endpoints?.id,
  ]),
  [...routeClaims(state, NOON)].map(([prefix, claims]) => [
    prefix,
    claims.map(({ device }) => device),
  ]),
]

const some = fc.subarray([...everything, ...givenUp])
const shuffled = some.chain((chosen) =>
  fc.record({
    chosen: fc.constant(chosen),
    order: fc.shuffledSubarray(chosen, { minLength: chosen.length }),
    repeats: fc.array(fc.constantFrom(...(chosen.length > 0 ? chosen : everything.slice(0, 1))), {
      maxLength: 5,
    }),
  }),
)

const property = suite('apply is a join (SPEC §8.1)')

property('takes in many at once as one after another, and changes nothing it was given', () => {
  fc.assert(
    fc.property(shuffled, fc.nat({ max: 40 }), ({ order }, cut) => {
      const [first, rest] = [order.slice(0, cut), order.slice(cut)]
      const before = after(first)
      const known = ids(before)
      const { state, refused } = applyAll(before, rest, NOON)
      assert.equal(ids(before), known)
      let step = before
      for (const envelope of rest) {
        const verdict = apply(step, envelope, NOON)
        assert.is(refused.has(envelope), !verdict.ok)
        step = verdict.state
      }
      assert.equal(ids(state), ids(step))
    }),
  )
})

property('gives one state in any order and with repeats', () => {
  fc.assert(
    fc.property(shuffled, ({ chosen, order, repeats }) => {
      const once = after(chosen)
      const other = after([...order, ...(chosen.length > 0 ? repeats : [])])
      assert.equal(ids(other), ids(once))
      assert.equal(belief(other), belief(once))
    }),
    { numRuns: 400 },
  )
})

property('gives the same state whether two halves are joined one way or the other', () => {
  fc.assert(
    fc.property(some, some, (left, right) => {
      assert.equal(ids(after(right, after(left))), ids(after(left, after(right))))
    }),
    { numRuns: 200 },
  )
})

property('never brings back a revoked device by any replay of older envelopes', () => {
  const revoked = devices[0]
  const state = after(everything)
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...everything), { maxLength: 60 }), (replay) => {
      assert.is(memberOf(after(replay, state), revoked?.id ?? acme.device('a').id, NOON), undefined)
    }),
    { numRuns: 200 },
  )
})

property('makes one holder of a prefix, the same everywhere', () => {
  const holder = (state: OrganizationState): unknown =>
    [...routeClaims(state, NOON).values()].map(([first]) => first?.device)
  fc.assert(
    fc.property(shuffled, ({ chosen, order }) =>
      assert.equal(holder(after(order)), holder(after(chosen))),
    ),
    { numRuns: 200 },
  )
})

property.run()
