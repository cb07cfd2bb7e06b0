// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { generateSigningKeyPair, signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { currentManifest, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import {
  type IssuerRequest,
  parseIssuerRequest,
  signIssuerRequest,
} from '../../protocol/issuer-request.ts'
import type { OrganizationId, RootKeyPair } from '../../protocol/keys.ts'
import { seconds } from '../../protocol/time.ts'
import { auditPage } from '../../registry/audit.ts'
import { expiryOf, issuerExpiry, openIssuerExpiryTeller } from '../../registry/issuer-expiry.ts'
import {
  installIssuer,
  requestIssuer,
  type WantedIssuer,
} from '../../registry/issuer-installation.ts'
import { Refused } from '../../registry/refusal.ts'
import { asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('issuer installation (SPEC §4.4)')
const HOUR = 3600
const DAY = 24 * HOUR

/** An organization whose root key is elsewhere. */
async function withoutRoot(core: RegistryCore) {
  const organization = await core.issuing.found('Acme')
  const root = signingKeyPairFromSeed<'root'>(
    fromBase64(await core.custody.export(organization, core.ada())),
  )
  await core.issuing.keys.forgetRoot(organization)
  return { organization, root }
}

async function signed(
  core: RegistryCore,
  organization: OrganizationId,
  root: RootKeyPair,
  wanted: Partial<WantedIssuer> = {},
  change: Partial<IssuerRequest> = {},
): Promise<string> {
  const text = await requestIssuer(core, organization, { rotate: false, ...wanted })
  const request = { ...parseIssuerRequest(text), ...change }
  return toBase64(signIssuerRequest(request, root, core.clock.now()))
}

const install = (core: RegistryCore, organization: OrganizationId, certificate: string) =>
  installIssuer(core, organization, { certificate, how: 'overlap' }, core.ada())
const refusalOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) =>
      error instanceof Refused ? `${error.code}: ${error.message}` : String(error),
  )

rule('a certificate signed elsewhere renews the issuer, and devices follow', async () => {
  await using core = await startCore()
  const { organization, root } = await withoutRoot(core)
  const key = await core.key(organization, { lasts: 200 * DAY })
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  const before = core.hear(organization, await core.issuing.envelopes(organization))
  core.advance(80 * DAY)
  const installed = await install(core, organization, await signed(core, organization, root))
  assert.is(installed.kind, 'renewed')
  core.advance(40 * DAY)
  const { envelopes } = await core.renew(laptop, organization)
  assert.is(membersOf(core.hear(organization, envelopes, before), core.clock.now()).size, 1)
  const { items } = await auditPage(core.database, organization, { limit: 100 })
  assert.is(items.at(-1)?.action, 'issuer.renewed')
})

rule('another issuer is installed by overlap: nobody is dropped', async () => {
  await using core = await startCore()
  const { organization, root } = await withoutRoot(core)
  await core.enrol(asker('laptop'), await core.key(organization))
  const before = core.hear(organization, await core.issuing.envelopes(organization))
  const certificate = await signed(core, organization, root, { rotate: true })
  assert.is((await install(core, organization, certificate)).kind, 'rotated')
  const after = core.hear(organization, await core.issuing.foundation(organization), before)
  assert.is(membersOf(after, core.clock.now()).size, 1)
  assert.is(currentManifest(after, core.clock.now())?.body.issuers.length, 2)
  await core.enrol(asker('phone'), await core.key(organization))
})

rule('asked again, a rotation names the same key; a certificate for it is good once', async () => {
  await using core = await startCore()
  const { organization, root } = await withoutRoot(core)
  const ask = async () =>
    parseIssuerRequest(await requestIssuer(core, organization, { rotate: true })).key
  assert.equal(await ask(), await ask())
  const certificate = await signed(core, organization, root, { rotate: true })
  await install(core, organization, certificate)
  assert.match(await refusalOf(install(core, organization, certificate)), /not newer/)
  assert.is.not(toBase64(await ask()), toBase64(openIssuer(certificate)))
})
const openIssuer = (certificate: string) => {
  const envelope = openEnvelope(fromBase64(certificate))
  assert.ok(envelope.kind === 'issuer-certificate')
  return envelope.body.key
}

rule(
  'certificates that devices would not follow, or that are not for this registry, are refused',
  async () => {
    await using core = await startCore()
    const { organization, root } = await withoutRoot(core)
    const other = await withoutRoot(core)
    const stranger = generateSigningKeyPair<'issuer'>().publicKey
    const now = core.clock.now()
    const make = (change: Partial<IssuerRequest>) => signed(core, organization, root, {}, change)
    const refused: readonly [string, RegExp][] = [
      [await signed(core, other.organization, other.root), /is of organization/],
      [await make({ key: stranger }), /is not of this registry/],
      [await make({ ranges: [parsePrefix('10.0.0.0/8')] }), /do not hold 100\.64/],
      [await make({ longestMembership: seconds(3600) }), /longest membership is 3600 s/],
      [await make({ notBefore: seconds(now - DAY) }), /not newer than the one in use/],
      [await make({ notBefore: seconds(now + 200) }), /not valid now/],
      [
        toBase64((await core.issuing.foundation(organization))[1] ?? new Uint8Array()),
        /is a manifest/,
      ],
      ['AAAA', /malformed/],
    ]
    const before = await core.issuing.foundation(organization)
    for (const [certificate, message] of refused) {
      const refusal = await refusalOf(install(core, organization, certificate))
      assert.match(refusal, /^issuer-certificate-invalid: /)
      assert.match(refusal, message)
    }
    assert.equal(await core.issuing.foundation(organization), before)
  },
)

rule('without the root key the end is told from 30 days before: daily, then hourly', async () => {
  await using core = await startCore()
  const { organization } = await withoutRoot(core)
  await core.issuing.found('Here')
  const teller = openIssuerExpiryTeller(core)
  const toldIn = async (steps: number, step: number) => {
    const before = core.logged.length
    for (let count = 0; count < steps; count += 1) {
      core.advance(step)
      await teller.look()
    }
    return core.logged.slice(before)
  }
  assert.is((await toldIn(58, DAY)).length, 0)
  assert.is(await issuerExpiry(core, organization), undefined)
  const daily = await toldIn(27 * 12, 2 * HOUR)
  assert.ok(daily.length >= 26 && daily.length <= 28, `${daily.length} in 27 days`)
  assert.is(daily[0]?.event, 'issuer.ends-without-root')
  assert.is(daily[0]?.fields['organization'], organization)
  assert.match(String(daily[0]?.fields['todo']), /nexctl organization root request/)
  await toldIn(1, 26 * HOUR)
  const hourly = await toldIn(48, HOUR / 2)
  assert.is(hourly.length, 24)
  assert.is(hourly[0]?.level, 'error')
})

rule('days left are whole ones, and an end that is over is told as such', () => {
  const issuer = { key: '', certificate: '', notBefore: 0, notAfter: 100 * DAY }
  const left = (at: number) => expiryOf({ issuer }, seconds(at))
  assert.is(left(69 * DAY), undefined)
  assert.equal(left(70 * DAY), { notAfter: 100 * DAY, daysLeft: 30, isOver: false })
  assert.equal(left(100 * DAY - 1), { notAfter: 100 * DAY, daysLeft: 0, isOver: false })
  assert.equal(left(100 * DAY), { notAfter: 100 * DAY, daysLeft: 0, isOver: true })
})

rule.run()
