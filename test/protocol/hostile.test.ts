import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { currentManifest, deviceStanding, isRevoked, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { DeviceKeyPair, IssuerKeyPair } from '../../protocol/keys.ts'
import { HELD_ENVELOPES, HELD_MANIFESTS, ROUTES_PER_DEVICE } from '../../protocol/limits.ts'
import { nextEpoch } from '../../protocol/route-claims.ts'
import { apply, type OrganizationState } from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, mallory] = [acme.device('laptop'), acme.device('mallory')]
const rule = suite('a hostile member (SPEC §8)')
const HIGHEST = 2 ** 48

const drawn = (n: number) =>
  signingKeyPairFromSeed<'device' | 'issuer'>(sha256(Uint8Array.of(n, n >> 8)))
const all = (state: OrganizationState, envelopes: Iterable<Uint8Array>): OrganizationState => {
  let next = state
  for (const bytes of envelopes) next = apply(next, openEnvelope(bytes), NOON).state
  return next
}

rule('cannot fill memory with manifests of issuers that nobody vouches for', () => {
  const before = acme.stateWith('laptop')
  const invented = Array.from({ length: HELD_MANIFESTS + 40 }, (_, n) =>
    acme.manifest({ sequence: 9 }, drawn(n) as IssuerKeyPair),
  )
  const after = all(before, invented)
  assert.ok(after.manifests.size <= HELD_MANIFESTS + 1, `${after.manifests.size} are held`)
  assert.is(currentManifest(after, NOON)?.body.sequence, 1)
  const other = all(before, invented.toReversed())
  assert.equal([...other.manifests.keys()].toSorted(), [...after.manifests.keys()].toSorted())
})

rule('cannot crowd out a manifest that is believed, nor evidence against an issuer', () => {
  const revoked = acme.manifest({
    sequence: 2,
    revocations: new Map([[laptop.serial, seconds(NOON + 9999)]]),
  })
  const fork = acme.manifest({ sequence: 2, name: 'fork' })
  const state = all(acme.stateWith('laptop'), [
    revoked,
    fork,
    ...Array.from({ length: HELD_MANIFESTS * 2 }, (_, n) =>
      acme.manifest({ sequence: HIGHEST }, drawn(n) as IssuerKeyPair),
    ),
  ])
  assert.is(isRevoked(state, laptop.serial, NOON), true)
  assert.equal([...membersOf(state, NOON).keys()], [])
})

rule('cannot hide from an approver who waits for it, by certificates of invented issuers', () => {
  const [boss, guest] = [acme.device('boss'), acme.device('guest')]
  const lock = { approvers: [boss.key.publicKey], since: seconds(NOON - 86_400) }
  const waiting = openEnvelope(acme.certificate(guest))
  const before = all(
    acme.state(acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock }), acme.manifest()),
    [waiting.bytes],
  )
  const stranger = drawn(1) as IssuerKeyPair
  const flood = Array.from({ length: HELD_ENVELOPES + 60 }, (_, n) =>
    openEnvelope(acme.certificate(acme.device(`invented-${n}`), {}, stranger)),
  )
  // Whoever draws often enough has ids as small as it likes.
  let state = before
  for (const [n, each] of flood.entries()) {
    state = apply(state, { ...each, id: `${'0'.repeat(16)}${n}` }, NOON).state
  }
  assert.is(deviceStanding(state, guest.id, NOON), 'not-approved')
  assert.ok(syncable(state, NOON).has(waiting.id))
  assert.is(state.memberships.size, HELD_ENVELOPES + 1)
})

rule('cannot use up the epochs of a prefix that it may not advertise', () => {
  const prefix = parsePrefix('10.99.0.1/32')
  const state = all(acme.stateWith('laptop', 'mallory'), [
    acme.certificate(laptop, { prefixes: [prefix], notBefore: seconds(NOON - 1) }),
    acme.route(mallory, prefix, { epoch: HIGHEST }),
    acme.route({ ...mallory, key: drawn(1) as DeviceKeyPair }, prefix, { epoch: HIGHEST - 1 }),
  ])
  const epoch = nextEpoch(state, prefix, NOON)
  assert.ok(epoch < HIGHEST / 2, `the next epoch is ${epoch}`)
})

rule('cannot make the next epoch one that no receiver reads', () => {
  const prefix = parsePrefix('10.99.0.1/32')
  const state = all(acme.stateWith('laptop', 'mallory'), [
    acme.certificate(mallory, { prefixes: [prefix], notBefore: seconds(NOON - 1) }),
    acme.route(mallory, prefix, { epoch: HIGHEST }),
  ])
  const epoch = nextEpoch(state, prefix, NOON)
  assert.is(openEnvelope(acme.route(laptop, prefix, { epoch })).kind, 'route-advertisement')
})

rule('is not passed on with routes beyond those kept of a device', () => {
  let state = all(acme.stateWith('mallory'), [
    acme.certificate(mallory, {
      prefixes: [parsePrefix('10.0.0.0/8')],
      notBefore: seconds(NOON - 1),
    }),
  ])
  for (let n = 0; n < ROUTES_PER_DEVICE; n++)
    state = all(state, [acme.route(mallory, `10.0.0.${n}/32`)])
  const beyond = apply(state, openEnvelope(acme.route(mallory, '10.9.0.0/24')), NOON)
  assert.is(beyond.ok, false)
  assert.is(beyond.changed, false)
  assert.is(
    apply(state, openEnvelope(acme.route(mallory, '10.0.0.7/32', { sequence: 2 })), NOON).ok,
    true,
  )
})

rule('cannot hold on to memory beyond the envelope by what came around it', () => {
  const sent = acme.endpoint(mallory)
  const around = new Uint8Array(200_000)
  around.set(sent, 100)
  const { bytes } = openEnvelope(around.subarray(100, 100 + sent.length))
  assert.is(toHex(bytes), toHex(sent))
  assert.is(bytes.buffer.byteLength, sent.length)
})

rule.run()
