// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { encodeApproval } from '../../protocol/approval.ts'
import { membersOf } from '../../protocol/belief.ts'
import { type EnvelopeOf, openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import { parseIssuerRequest, signIssuerRequest } from '../../protocol/issuer-request.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { lockOf } from '../../protocol/lock.ts'
import { auditPage } from '../../registry/audit.ts'
import { installIssuer, requestIssuer } from '../../registry/issuer-installation.ts'
import { certifyConnected, renewIssuers } from '../../registry/issuer-renewal.ts'
import { keepApprovals } from '../../registry/lock.ts'
import { Refused } from '../../registry/refusal.ts'
import { type Asker, asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('lock, at the registry (SPEC §4.3)')
const DAY = 86_400

/** An organization of `boss` and `laptop`, whose root key is elsewhere. */
async function scene(core: RegistryCore) {
  const organization = await core.issuing.found('Acme')
  const seed = await core.custody.export(organization, core.ada())
  const root = signingKeyPairFromSeed<'root'>(fromBase64(seed))
  const key = await core.key(organization, { lasts: 300 * DAY })
  const [boss, laptop] = [asker('boss'), asker('laptop')]
  for (const each of [boss, laptop]) await core.enrol(each, key)
  const lock = async (approvers: readonly string[] | undefined, rotate = false) => {
    const text = await requestIssuer(core, organization, { rotate, approvers })
    const certificate = toBase64(
      signIssuerRequest(parseIssuerRequest(text), root, core.clock.now()),
    )
    await installIssuer(core, organization, { certificate, how: 'overlap' }, core.ada())
  }
  const state = async () => core.hear(organization, await core.issuing.envelopes(organization))
  const names = async () =>
    [...membersOf(await state(), core.clock.now()).values()]
      .map(({ certificate }) => certificate.name)
      .toSorted()
  return { organization, key, boss, laptop, lock, state, names }
}

function approval(
  core: RegistryCore,
  organization: OrganizationId,
  by: Asker,
  on: Asker,
  sequence = 1,
  decision: 'approved' | 'denied' = 'approved',
): EnvelopeOf<'approval'> {
  const claims = encodeApproval({
    ...{ sequence, decision, issuedAt: core.clock.now() },
    deviceKey: on.deviceKey.publicKey,
    wireguardKey: on.wireguardKey.publicKey,
  })
  const envelope = openEnvelope(sealEnvelope('approval', organization, claims, by.deviceKey))
  assert.ok(envelope.kind === 'approval')
  return envelope
}
const idOf = (bytes: Uint8Array | undefined) => openEnvelope(bytes ?? new Uint8Array()).id

rule('a lock drops nobody: what was certified before counts until it ends', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  core.advance(60)
  await acme.lock([acme.boss.id], true)
  assert.equal(await acme.names(), ['boss', 'laptop'])
  const { items } = await auditPage(core.database, acme.organization, { limit: 100 })
  assert.ok(items.some(({ action }) => action === 'lock.changed'))
})

rule(
  'a device that waits is given the certificate that it has, and asks as often as it likes',
  async () => {
    await using core = await startCore()
    const acme = await scene(core)
    core.advance(60)
    await acme.lock([acme.boss.id])
    const ids = new Set<string>()
    for (let count = 0; count < 20; count += 1) {
      core.advance(30)
      const { envelopes } = await core.renew(acme.laptop, acme.organization)
      ids.add(idOf(envelopes.at(-1)))
    }
    assert.is(ids.size, 1)
    assert.equal(await acme.names(), ['boss', 'laptop'])
    core.advance(DAY)
    await core.renew(acme.laptop, acme.organization)
    assert.equal(await acme.names(), [])
  },
)

rule('an approved device renews as ever, and is handed its approvals', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  core.advance(60)
  await acme.lock([acme.boss.id])
  await keepApprovals(core.database, [
    approval(core, acme.organization, acme.boss, acme.boss),
    approval(core, acme.organization, acme.boss, acme.laptop),
  ])
  core.advance(DAY / 2)
  const { envelopes } = await core.renew(acme.laptop, acme.organization)
  assert.equal(
    envelopes.map((bytes) => openEnvelope(bytes).kind),
    ['issuer-certificate', 'manifest', 'approval', 'membership-certificate'],
  )
  const own = core.hear(acme.organization, envelopes)
  assert.is(membersOf(own, core.clock.now()).size, 1)
  await core.renew(acme.boss, acme.organization)
  assert.equal(await acme.names(), ['boss', 'laptop'])
})

rule('the newest word is kept, and an older one does not come back', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  core.advance(60)
  await acme.lock([acme.boss.id])
  const said = (sequence: number, decision: 'approved' | 'denied') =>
    approval(core, acme.organization, acme.boss, acme.laptop, sequence, decision)
  await keepApprovals(core.database, [said(1, 'approved')])
  await keepApprovals(core.database, [said(3, 'denied')])
  await keepApprovals(core.database, [said(2, 'approved')])
  const kept = [...(await acme.state()).approvals.values()]
  assert.equal(
    kept.map(({ body }) => [body.sequence, body.decision]),
    [[3, 'denied']],
  )
})

rule('a newcomer of a locked organization is a member once an approver has signed', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  core.advance(60)
  await acme.lock([acme.boss.id])
  const phone = asker('phone')
  await core.enrol(phone, acme.key)
  assert.equal(await acme.names(), ['boss', 'laptop'])
  await keepApprovals(core.database, [approval(core, acme.organization, acme.boss, phone)])
  assert.equal(await acme.names(), ['boss', 'laptop', 'phone'])
})

rule(
  'renewals keep the lock and its beginning, by a root key that is here or elsewhere',
  async () => {
    await using core = await startCore()
    const acme = await scene(core)
    core.advance(60)
    await acme.lock([acme.boss.id])
    const before = lockOf(await acme.state(), core.clock.now())
    core.advance(70 * DAY)
    await renewIssuers(core) // the root key was exported, not forgotten
    assert.equal(lockOf(await acme.state(), core.clock.now()), before)
    core.advance(70 * DAY)
    await acme.lock(undefined)
    assert.equal(lockOf(await acme.state(), core.clock.now()), before)
    core.advance(60)
    await acme.lock([])
    assert.is(lockOf(await acme.state(), core.clock.now()), undefined)
  },
)

rule('in an overlap devices that wait get no certificate that would not count', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  core.advance(60)
  await acme.lock([acme.boss.id], true)
  await certifyConnected(core, () => [{ device: acme.laptop.id }, { device: acme.boss.id }])
  assert.equal(await acme.names(), ['boss', 'laptop'])
})

rule('who cannot approve is no approver: strangers, words that are no id, too many', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  const many = Array.from({ length: 17 }, (_, number) => asker(`a${number}`).id)
  for (const approvers of [[asker('x').id], ['boss'], many]) {
    const error = await requestIssuer(core, acme.organization, { rotate: false, approvers }).catch(
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof Refused && error.code === 'issuer-certificate-invalid')
  }
  core.advance(60)
  await acme.lock([acme.boss.id])
  await core.devices.remove(acme.organization, acme.boss.id)
  core.advance(60)
  const refused = await acme.lock(undefined).catch((thrown: unknown) => thrown)
  assert.match(String(refused), /none of its approvers is a device here/)
})

rule.run()
