import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { currentManifest, equivocation, memberOf, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { HELD_ENVELOPES, ROUTES_PER_DEVICE } from '../../protocol/limits.ts'
import { apply, type OrganizationState, prune } from '../../protocol/state.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const rule = suite('apply (SPEC §8)')

const outcome = (state: OrganizationState, bytes: Uint8Array, now: Seconds = NOON): string => {
  const verdict = apply(state, openEnvelope(bytes), now)
  return verdict.ok ? 'believed' : verdict.refusal
}
const names = (state: OrganizationState, now: Seconds = NOON): readonly string[] =>
  [...membersOf(state, now).values()].map(({ certificate }) => certificate.name).toSorted()

rule('believes a certificate whose issuer the root vouches for', () => {
  assert.equal(names(acme.stateWith('laptop', 'phone')), ['laptop', 'phone'])
})

rule('holds a certificate until its issuer is vouched for, then believes it', () => {
  const held = apply(acme.state(), openEnvelope(acme.certificate(laptop)), NOON)
  assert.equal(held.ok ? '' : held.refusal, 'unknown-issuer')
  assert.equal(names(held.state), [])
  const vouched = apply(held.state, openEnvelope(acme.issuerCertificate()), NOON)
  assert.equal(names(vouched.state), ['laptop'])
})

rule('refuses what belongs to another organization', () => {
  const evil = testOrganization('evil')
  const state = acme.stateWith('laptop')
  for (const bytes of [
    evil.issuerCertificate(),
    evil.manifest(),
    evil.certificate(evil.device('x')),
  ]) {
    assert.is(outcome(state, bytes), 'wrong-organization')
  }
})

rule('refuses a certificate by an issuer the root does not vouch for', () => {
  const stranger = signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(7))
  const state = acme.stateWith('laptop')
  assert.is(
    outcome(state, acme.certificate(phone, { manifestSequence: 9 }, stranger)),
    'unknown-issuer',
  )
  assert.is(outcome(state, acme.manifest({ sequence: 9 }, stranger)), 'unknown-issuer')
})

rule('refuses a certificate of an issuer that the manifest in force leaves out', () => {
  const successor = signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(8))
  const state = acme.state(
    acme.issuerCertificate(),
    acme.issuerCertificate({ issuer: successor }),
    acme.certificate(laptop),
    acme.certificate(phone, {}, successor),
    acme.manifest({ issuers: [acme.issuer.publicKey, successor.publicKey] }),
  )
  assert.equal(names(state), ['laptop', 'phone'])
  const rotated = apply(
    state,
    openEnvelope(acme.manifest({ sequence: 2, issuers: [successor.publicKey] }, successor)),
    NOON,
  ).state
  assert.equal(names(rotated), ['phone'])
})

rule('gives no ear to an issuer that was given up, whatever sequence it signs (SPEC §5.6)', () => {
  const successor = signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(8))
  const envelopes = [
    acme.issuerCertificate(),
    acme.issuerCertificate({ issuer: successor, notBefore: seconds(NOON - 3600) }),
    acme.manifest({ sequence: 2, issuers: [successor.publicKey] }, successor),
    acme.certificate(laptop, { manifestSequence: 2 }, successor),
    // Whoever has the old key names it in a manifest of the highest number, and mints a member.
    acme.manifest({ sequence: 2 ** 48, revocations: new Map([[laptop.serial, NOON]]) }),
    acme.certificate(phone, { groups: ['admins'], manifestSequence: 2 ** 48 }),
  ]
  for (const order of [envelopes, envelopes.toReversed()]) {
    const state = acme.state(...order)
    assert.is(currentManifest(state, NOON)?.body.sequence, 2)
    assert.equal(names(state), ['laptop'])
    const next = acme.manifest({ sequence: 3, issuers: [successor.publicKey] }, successor)
    assert.is(outcome(state, next), 'believed')
    const other = acme.manifest({ sequence: 2 ** 48, name: 'again' })
    assert.is(outcome(state, other), 'unknown-issuer')
  }
})

rule('hears the issuer before for as long as the one after it lists it', () => {
  const successor = signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(8))
  const issuers = [successor.publicKey, acme.issuer.publicKey]
  const told = acme.state(
    acme.issuerCertificate(),
    acme.issuerCertificate({ issuer: successor, notBefore: seconds(NOON - 3600) }),
    acme.certificate(laptop),
    acme.manifest({ sequence: 5 }),
  )
  assert.is(currentManifest(told, NOON)?.body.sequence, 5, 'the next has not said anything yet')
  const overlap = apply(
    told,
    openEnvelope(acme.manifest({ sequence: 4, issuers }, successor)),
    NOON,
  ).state
  assert.is(currentManifest(overlap, NOON)?.body.sequence, 5)
  assert.equal(names(overlap), ['laptop'])
})

rule('refuses an expired certificate, and one that is not valid yet', () => {
  const state = acme.stateWith()
  const past = { notBefore: seconds(NOON - 600), notAfter: NOON }
  const future = { notBefore: seconds(NOON + 301), notAfter: seconds(NOON + 600) }
  assert.is(outcome(state, acme.certificate(laptop, past)), 'expired')
  assert.is(outcome(state, acme.certificate(laptop, future)), 'not-yet-valid')
})

rule('refuses addresses and lifetimes beyond what the root allows the issuer', () => {
  const state = acme.stateWith()
  const long = { notAfter: seconds(NOON + 8 * 86_400) }
  assert.is(outcome(state, acme.certificate(laptop, long)), 'beyond-issuer')
  const foreign = { addresses: [parsePrefix('192.0.2.1/32')] }
  assert.is(outcome(state, acme.certificate(laptop, foreign)), 'beyond-issuer')
})

rule('drops a device whose serial a newer manifest revokes, and no replay brings it back', () => {
  const certificate = acme.certificate(laptop)
  const revoking = acme.manifest({
    sequence: 2,
    revocations: new Map([[laptop.serial, seconds(NOON + 86_400)]]),
  })
  let state = acme.state(
    acme.issuerCertificate(),
    acme.manifest(),
    certificate,
    acme.endpoint(laptop),
  )
  state = apply(state, openEnvelope(revoking), NOON).state
  assert.is(memberOf(state, laptop.id, NOON), undefined)
  for (const old of [
    certificate,
    acme.manifest(),
    acme.issuerCertificate(),
    acme.endpoint(laptop),
  ]) {
    state = apply(state, openEnvelope(old), NOON).state
    assert.is(memberOf(state, laptop.id, NOON), undefined)
  }
  assert.is(outcome(state, acme.endpoint(laptop, { sequence: 5 })), 'revoked')
  assert.is(outcome(state, acme.route(laptop, '10.99.0.1/32')), 'revoked')
})

rule('lets a device in again with a new serial', () => {
  const revoking = acme.manifest({
    sequence: 2,
    revocations: new Map([[laptop.serial, seconds(NOON + 86_400)]]),
  })
  const state = acme.state(acme.issuerCertificate(), acme.certificate(laptop), revoking)
  const fresh = acme.certificate(laptop, { serial: '00000000000000aa', manifestSequence: 3 })
  assert.is(outcome(state, fresh), 'believed')
})

rule('never replaces a newer manifest by an older one', () => {
  const state = acme.state(acme.issuerCertificate(), acme.manifest({ sequence: 5 }))
  assert.is(outcome(state, acme.manifest({ sequence: 4 })), 'stale')
  assert.is(currentManifest(state, NOON)?.body.sequence, 5)
})

rule(
  'keeps two manifests of one sequence as evidence, and lets a revocation in either count',
  () => {
    const revoking = acme.manifest({
      sequence: 2,
      revocations: new Map([[laptop.serial, seconds(NOON + 86_400)]]),
    })
    const pardoning = acme.manifest({ sequence: 2 })
    for (const order of [
      [revoking, pardoning],
      [pardoning, revoking],
    ]) {
      const state = acme.state(acme.issuerCertificate(), acme.certificate(laptop), ...order)
      assert.is(equivocation(state, NOON).length, 2)
      assert.is(memberOf(state, laptop.id, NOON), undefined)
    }
  },
)

rule('ignores an endpoint update whose sequence is not newer', () => {
  const state = acme.state(
    acme.issuerCertificate(),
    acme.certificate(laptop),
    acme.endpoint(laptop, { sequence: 7 }),
  )
  assert.is(outcome(state, acme.endpoint(laptop, { sequence: 7 })), 'stale')
  assert.is(outcome(state, acme.endpoint(laptop, { sequence: 6 })), 'stale')
  assert.is(outcome(state, acme.endpoint(laptop, { sequence: 8 })), 'believed')
})

rule(
  'refuses a route that the certificate does not allow, and allows a part of what it does',
  () => {
    const state = acme.state(
      acme.issuerCertificate(),
      acme.certificate(laptop, { prefixes: [parsePrefix('10.99.0.0/24')] }),
    )
    assert.is(outcome(state, acme.route(laptop, '10.99.0.7/32')), 'believed')
    assert.is(outcome(state, acme.route(laptop, '10.99.0.0/24')), 'believed')
    assert.is(outcome(state, acme.route(laptop, '10.98.0.0/15')), 'route-not-allowed')
    assert.is(outcome(state, acme.route(laptop, '0.0.0.0/0')), 'route-not-allowed')
  },
)

rule('holds a statement of an unknown device without effect', () => {
  const verdict = apply(acme.stateWith(), openEnvelope(acme.endpoint(phone)), NOON)
  assert.is(verdict.ok ? '' : verdict.refusal, 'not-member')
  assert.is(verdict.changed, true)
  const later = apply(verdict.state, openEnvelope(acme.certificate(phone)), NOON).state
  assert.ok(memberOf(later, phone.id, NOON)?.endpoints)
})

rule('does not let what nobody vouches for fill memory', () => {
  let state = acme.stateWith()
  for (let index = 0; index < HELD_ENVELOPES + 20; index += 1) {
    state = apply(state, openEnvelope(acme.endpoint(acme.device(`stranger-${index}`))), NOON).state
  }
  assert.is(state.endpoints.size, HELD_ENVELOPES)
})

rule('keeps so many advertisements of one device, and the same ones in any order', () => {
  const certificate = acme.certificate(laptop, { prefixes: [parsePrefix('10.0.0.0/8')] })
  const routes = Array.from({ length: ROUTES_PER_DEVICE + 5 }, (_, index) =>
    acme.route(laptop, `10.1.${index >> 8}.${index & 255}/32`),
  )
  const forward = acme.state(acme.issuerCertificate(), certificate, ...routes)
  const backward = acme.state(acme.issuerCertificate(), certificate, ...routes.toReversed())
  assert.is(forward.routes.size, ROUTES_PER_DEVICE)
  assert.equal([...forward.routes.keys()].toSorted(), [...backward.routes.keys()].toSorted())
})

rule('forgets what has ended', () => {
  const state = acme.state(
    acme.issuerCertificate(),
    acme.certificate(laptop),
    acme.endpoint(laptop),
  )
  const later = prune(state, seconds(NOON + 2 * 86_400))
  assert.is(later.memberships.size + later.endpoints.size, 0)
  assert.is(later.issuerCertificates.size, 1)
})

rule.run()
