import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { deviceStanding, memberOf, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { judgeHello, proveHello } from '../../protocol/hello.ts'
import { vouchingEnvelopes } from '../../protocol/hello-exchange.ts'
import { APPROVALS_PER_APPROVER, HELD_ENVELOPES } from '../../protocol/limits.ts'
import { lockOf } from '../../protocol/lock.ts'
import { apply, envelopesOf, type OrganizationState } from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import { NOON, type TestDevice, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [boss, laptop, phone] = [acme.device('boss'), acme.device('laptop'), acme.device('phone')]
const rule = suite('lock (SPEC §4.3)')
const DAY = 86_400

/** From before any certificate of the tests. */
const lockBy = (...approvers: readonly TestDevice[]) => ({
  approvers: approvers.map(({ key }) => key.publicKey),
  since: seconds(NOON - DAY),
})
const locked = (notBefore: Seconds, ...approvers: readonly TestDevice[]): Uint8Array =>
  acme.issuerCertificate({ notBefore, lock: lockBy(...approvers) })
const LOCKED = locked(seconds(NOON - 3600), boss)

const hear = (state: OrganizationState, ...envelopes: readonly Uint8Array[]): OrganizationState =>
  envelopes.reduce((known, bytes) => apply(known, openEnvelope(bytes), NOON).state, state)
const refusal = (state: OrganizationState, bytes: Uint8Array): string => {
  const verdict = apply(state, openEnvelope(bytes), NOON)
  return verdict.ok ? 'believed' : verdict.refusal
}
const names = (state: OrganizationState): readonly string[] =>
  [...membersOf(state, NOON).values()].map(({ certificate }) => certificate.name).toSorted()

/** A locked organization in which the approver has vouched for itself. */
const base = acme.state(LOCKED, acme.manifest(), acme.certificate(boss), acme.approval(boss, boss))

rule('a member that the registry alone has signed counts for nobody', () => {
  assert.is(refusal(base, acme.certificate(laptop)), 'not-approved')
  const state = hear(base, acme.certificate(laptop))
  assert.equal(names(state), ['boss'])
  assert.is(deviceStanding(state, laptop.id, NOON), 'not-approved')
})

rule('what such a device says of itself counts for nobody', () => {
  const state = hear(base, acme.certificate(laptop))
  assert.is(refusal(state, acme.endpoint(laptop)), 'not-approved')
  assert.is(refusal(state, acme.route(laptop, '10.99.0.1/32')), 'not-approved')
})

rule('counts once an approver has signed, in whichever order both come', () => {
  const both = [acme.certificate(laptop), acme.approval(boss, laptop)]
  assert.equal(names(hear(base, ...both)), ['boss', 'laptop'])
  assert.equal(names(hear(base, ...both.toReversed())), ['boss', 'laptop'])
})

rule('an approver needs its own word on its own WireGuard key, and nobody else’s', () => {
  const state = acme.state(LOCKED, acme.manifest(), acme.certificate(boss))
  assert.equal(names(state), [])
  assert.equal(names(hear(state, acme.approval(boss, boss))), ['boss'])
  // A registry that gives the approver's place in the tunnel to a key of its own.
  const stolen = acme.certificate(boss, {
    wireguardKey: phone.wireguard.publicKey,
    manifestSequence: 5,
  })
  assert.equal(names(hear(base, stolen)), [])
})

rule('an approval names one WireGuard key: another one of the device is not approved', () => {
  const other = acme.certificate(laptop, { wireguardKey: phone.wireguard.publicKey })
  assert.is(
    deviceStanding(hear(base, acme.approval(boss, laptop), other), laptop.id, NOON),
    'not-approved',
  )
})

rule('an approval of one device is none of another', () => {
  assert.equal(names(hear(base, acme.approval(boss, phone), acme.certificate(laptop))), ['boss'])
})

rule('who is no approver can approve nobody, itself neither', () => {
  const state = hear(base, acme.certificate(laptop), acme.certificate(phone))
  assert.is(refusal(state, acme.approval(laptop, laptop)), 'not-approver')
  assert.is(refusal(state, acme.approval(phone, laptop)), 'not-approver')
  assert.equal(names(hear(state, acme.approval(laptop, laptop), acme.approval(phone, laptop))), [
    'boss',
  ])
})

rule('a forged approval does not open', () => {
  const bytes = Uint8Array.from(acme.approval(boss, laptop))
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  assert.throws(() => openEnvelope(bytes))
})

rule('an approval of another organization is not taken over', () => {
  const evil = testOrganization('evil')
  // The same devices in another organization: the same keys, another claim 1.
  assert.is(refusal(base, evil.approval(boss, laptop)), 'wrong-organization')
})

rule('the newest word of an approver counts, and an older one played again does not', () => {
  const state = hear(base, acme.certificate(laptop), acme.approval(boss, laptop))
  const denied = acme.approval(boss, laptop, { sequence: 2, decision: 'denied' })
  assert.equal(names(hear(state, denied)), ['boss'])
  assert.is(refusal(hear(state, denied), acme.approval(boss, laptop)), 'stale')
})

rule('one approver is enough, whatever another one says', () => {
  const two = acme.state(locked(seconds(NOON - 3600), boss, phone), acme.manifest())
  const state = hear(
    two,
    acme.certificate(laptop),
    acme.approval(boss, laptop),
    acme.approval(phone, laptop, { decision: 'denied' }),
  )
  assert.equal(names(state), ['laptop'])
})

rule('a new issuer certificate without an approver ends what that approver has approved', () => {
  const state = hear(base, acme.certificate(laptop), acme.approval(boss, laptop))
  const after = hear(state, locked(seconds(NOON - 60), phone))
  assert.equal(names(after), [])
  assert.is(refusal(after, acme.approval(boss, laptop, { sequence: 9 })), 'not-approver')
  assert.equal(names(hear(after, acme.approval(phone, laptop))), ['laptop'])
  // The certificate before, played again, brings nobody back.
  assert.is(refusal(after, LOCKED), 'stale')
})

rule(
  'what the root said last binds every issuer: one that was given up cannot open the lock',
  () => {
    const [old, next] = [7, 8].map((fill) =>
      signingKeyPairFromSeed<'issuer'>(new Uint8Array(32).fill(fill)),
    )
    assert.ok(old && next)
    const state = acme.state(
      acme.issuerCertificate({ issuer: old }),
      acme.issuerCertificate({
        issuer: next,
        notBefore: seconds(NOON - 3600),
        lock: lockBy(boss),
      }),
      acme.manifest({ sequence: 2, issuers: [next.publicKey] }, next),
      // Whoever has the old key names it in a manifest of a higher number, and mints a member.
      acme.manifest({ sequence: 9, issuers: [old.publicKey] }, old),
      acme.certificate(laptop, { manifestSequence: 9 }, old),
    )
    assert.equal(names(state), [])
  },
)

rule('without a lock in the newest certificate nobody needs an approval any more', () => {
  const state = hear(base, acme.certificate(laptop))
  const opened = hear(state, acme.issuerCertificate({ notBefore: seconds(NOON - 60) }))
  assert.is(lockOf(opened, NOON), undefined)
  assert.equal(names(opened), ['boss', 'laptop'])
})

rule(
  'certificates that began before the lock count until they end; renewed ones need an approval',
  () => {
    const lock = { approvers: [boss.key.publicKey], since: seconds(NOON - 30) }
    const state = acme.state(
      acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock }),
      acme.manifest(),
      acme.certificate(laptop),
    )
    assert.equal(names(state), ['laptop'])
    const renewed = acme.certificate(laptop, { notBefore: seconds(NOON - 20) })
    assert.equal(names(hear(state, renewed)), [])
  },
)

rule('a certificate that waits is passed on in syncs, so that approvers hear of it', () => {
  const waiting = openEnvelope(acme.certificate(laptop))
  const state = hear(base, waiting.bytes)
  assert.ok(syncable(state, NOON).has(waiting.id))
  const approval = openEnvelope(acme.approval(boss, laptop))
  assert.ok(syncable(hear(state, approval.bytes), NOON).has(approval.id))
  const foreign = openEnvelope(acme.approval(phone, laptop))
  assert.not.ok(syncable(hear(state, foreign.bytes), NOON).has(foreign.id))
})

rule('a greeting brings the approval along: who has not heard of it admits the device', () => {
  const own = hear(base, acme.certificate(laptop), acme.approval(boss, laptop))
  const envelopes = vouchingEnvelopes(own, laptop.id, NOON)
  const peers = { ours: 'boss', theirs: 'laptop' }
  const nonce = new Uint8Array(16).fill(3)
  const proof = proveHello(acme.id, laptop.key, { ours: 'laptop', theirs: 'boss' }, nonce, NOON)
  const greeting = { version: 1, organization: acme.id, nonce, envelopes }
  const expected = { ...peers, nonce, peerDevice: laptop.id }
  const verdict = judgeHello(base, greeting, proof, expected, NOON)
  assert.is(verdict.ok && verdict.who.kind, 'device')
  const without = { ...greeting, envelopes: [acme.certificate(laptop)] }
  const refused = judgeHello(base, without, proof, expected, NOON)
  assert.is(refused.ok ? '' : refused.refusal, 'not-approved')
})

rule('an approval from the future is refused', () => {
  const early = acme.approval(boss, laptop, { issuedAt: seconds(NOON + 3600) })
  assert.is(refusal(base, early), 'not-yet-valid')
})

rule('words of strangers do not fill the memory', () => {
  let state = base
  for (let number = 0; number < HELD_ENVELOPES + 8; number += 1) {
    state = hear(state, acme.approval(laptop, acme.device(`guest-${number}`)))
  }
  assert.is(state.approvals.size, HELD_ENVELOPES + 1, 'those of strangers, and the one that counts')
  assert.ok(APPROVALS_PER_APPROVER > HELD_ENVELOPES)
  assert.ok(envelopesOf(state).length < HELD_ENVELOPES + 8)
  assert.is(memberOf(state, boss.id, NOON)?.certificate.name, 'boss')
})

rule.run()
