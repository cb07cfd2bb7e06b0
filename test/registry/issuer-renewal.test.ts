import { readdir, rename, writeFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { currentManifest, memberOf, membersOf } from '../../protocol/belief.ts'
import { openIssuerExpiryTeller } from '../../registry/issuer-expiry.ts'
import { renewIssuers, rotateIssuer } from '../../registry/issuer-renewal.ts'
import { Refused } from '../../registry/refusal.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('issuer renewal')
const DAY = 86_400

const refusedAs = (code: string) => (error: unknown) =>
  error instanceof Refused && error.code === code

rule(
  'the issuer certificate is renewed after two thirds, and devices believe the new one',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const first = await core.issuing.foundation(organization)
    await renewIssuers(core)
    assert.equal(await core.issuing.foundation(organization), first)
    core.advance(60 * DAY)
    await renewIssuers(core)
    const renewed = await core.issuing.foundation(organization)
    const state = core.hear(organization, [...first, ...renewed])
    const [certificate] = [...state.issuerCertificates.values()]
    assert.ok((certificate?.body.notAfter ?? 0) > core.clock.now() + 80 * DAY)
    assert.is(currentManifest(state, core.clock.now())?.body.sequence, 1)
  },
)

rule(
  'without the root file the registry goes on, and says what is needed before the issuer ends',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const key = await core.key(organization, { lasts: 200 * DAY })
    const path = core.issuing.keys.rootPath(organization)
    await rename(path, `${path}.away`)
    core.advance(60 * DAY)
    await renewIssuers(core)
    await openIssuerExpiryTeller(core).look()
    assert.is(core.logged.at(-1)?.event, 'issuer.ends-without-root')
    assert.match(String(core.logged.at(-1)?.fields['todo']), path)
    await core.enrol(asker('laptop'), key)
    core.advance(30 * DAY)
    const refused = await core.enrol(asker('phone'), key).catch((error: unknown) => error)
    assert.ok(refusedAs('issuer-unusable')(refused))
    await rename(`${path}.away`, path)
    await renewIssuers(core)
    await core.enrol(asker('phone'), key)
  },
)

rule('a certificate never outlasts its issuer', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization, { lasts: 200 * DAY })
  core.advance(88.5 * DAY)
  const laptop = asker('laptop')
  const state = core.hear(organization, (await core.enrol(laptop, key)).envelopes)
  const [issuer] = [...state.issuerCertificates.values()]
  const member = memberOf(state, laptop.id, core.clock.now())
  assert.is(member?.certificate.notAfter, issuer?.body.notAfter)
})

rule('another issuer takes over all devices at once, and the old one counts no more', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization)
  const cast = ['a', 'b', 'c'].map(asker)
  for (const member of cast) await core.enrol(member, key)
  const before = core.hear(organization, await core.issuing.envelopes(organization))
  const [old] = [...before.issuerCertificates.keys()]
  const told: Uint8Array[] = []
  core.issuing.onIssued(({ envelopes }) => void told.push(...envelopes))
  await rotateIssuer(core, organization, 'at-once', core.ada())
  let state = before
  for (const envelope of told) {
    state = core.hear(organization, [envelope], state)
    assert.is(membersOf(state, core.clock.now()).size, 3, 'nobody is dropped on the way')
  }
  assert.is(currentManifest(state, core.clock.now())?.body.issuers.length, 1)
  for (const { certificate, envelope } of membersOf(state, core.clock.now()).values()) {
    assert.is.not(envelope.signer, old, certificate.name)
  }
  await core.renew(cast[0] ?? asker('a'), organization)
})

rule(
  'a rotation that was cut off before its commit changes nothing, after it is finished at the start',
  async () => {
    const core = await startCore()
    const organization = await core.issuing.found('Acme')
    await core.issuing.keys.saveNextIssuer(organization, generateSigningKeyPair<'issuer'>())
    await core.enrol(asker('a'), await core.key(organization))
    await rotateIssuer(core, organization, 'at-once', core.ada())
    const path = core.issuing.keys.issuerPath(organization)
    // As after a crash between commit and rename.
    await rename(path, `${path}.next`)
    await writeFile(path, new Uint8Array(32).fill(1), { mode: 0o600 })
    await core[Symbol.asyncDispose]()
    await using again = await startCore({ stateDirectory: core.stateDirectory })
    await again.enrol(asker('b'), await again.key(organization))
    assert.equal(await readdir(`${core.stateDirectory}/issuers`), [`${organization}.key`])
  },
)

rule('a lost issuer key is named, with its file', async () => {
  const core = await startCore()
  const organization = await core.issuing.found('Acme')
  const path = core.issuing.keys.issuerPath(organization)
  await rename(path, `${path}.away`)
  await core[Symbol.asyncDispose]()
  await using again = await startCore({ stateDirectory: core.stateDirectory })
  const refused = await again.issuing.issuerKey(organization).catch((error: unknown) => error)
  assert.ok(refusedAs('issuer-unusable')(refused))
  assert.match((refused as Error).message, path)
})

rule.run()
