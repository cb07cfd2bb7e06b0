// time limit: 120 s
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { generateSigningKeyPair, signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { sealEnvelope } from '../../protocol/envelope.ts'
import { type OrganizationId, organizationIdOf, type RootKeyPair } from '../../protocol/keys.ts'
import { encodeProof, type Proof } from '../../protocol/proof.ts'
import { auditPage } from '../../registry/audit.ts'
import { renewIssuers } from '../../registry/issuer-renewal.ts'
import { Refused } from '../../registry/refusal.ts'
import { PUBLIC_URL, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('root custody')
const DAY = 86_400

function proofOf(
  core: RegistryCore,
  organization: OrganizationId,
  key: RootKeyPair,
  change: Partial<Proof> = {},
): string {
  const claims = encodeProof({
    ...{ purpose: 'root-forget', audience: PUBLIC_URL, subject: '' },
    nonce: new Uint8Array(16).fill(1),
    issuedAt: core.clock.now(),
    wireguardKey: new Uint8Array(0),
    ...change,
  })
  return toBase64(sealEnvelope('proof', organization, claims, key))
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof Refused ? error.code : String(error)),
  )
const audited = async ({ database }: RegistryCore, organization: OrganizationId) =>
  (await auditPage(database, organization, { limit: 100 })).items.map(({ action }) => action)

async function exported(core: RegistryCore, organization: OrganizationId): Promise<RootKeyPair> {
  const seed = await core.custody.export(organization, core.ada())
  return signingKeyPairFromSeed<'root'>(fromBase64(seed))
}

rule(
  'the key that is exported is the root of the organization, and stays until it is forgotten',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const root = await exported(core, organization)
    assert.is(organizationIdOf(root.publicKey), organization)
    assert.ok(existsSync(core.issuing.keys.rootPath(organization)))
    assert.equal((await exported(core, organization)).publicKey, root.publicKey)
  },
)

rule('it is forgotten on a proof, everywhere; once more does no harm', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const root = await exported(core, organization)
  await core.custody.forget(organization, proofOf(core, organization, root), core.ada())
  await core.custody.forget(organization, proofOf(core, organization, root), core.ada())
  assert.equal(await readdir(`${core.stateDirectory}/roots`), [])
  assert.is(await core.issuing.keys.root(organization), undefined)
  assert.is(await codeOf(core.custody.export(organization, core.ada())), 'root-key-missing')
  assert.equal(await audited(core, organization), ['root.exported', 'root.forgotten'])
})

rule('a proof that is not of this key, this registry or this hour forgets nothing', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const other = await core.issuing.found('Other')
  const root = await exported(core, organization)
  const otherRoot = await exported(core, other)
  const stranger = generateSigningKeyPair<'root'>()
  const refused: readonly string[] = [
    proofOf(core, organization, stranger),
    proofOf(core, organization, otherRoot),
    proofOf(core, organization, root, { audience: 'https://evil.example' }),
    proofOf(core, organization, root, { purpose: 'renewal' }),
    proofOf(core, organization, root, { issuedAt: (core.clock.now() - 3600) as never }),
    toBase64((await core.issuing.foundation(organization))[0] ?? new Uint8Array()),
    'AAAA',
    '',
  ]
  for (const proof of refused) {
    const code = await codeOf(core.custody.forget(organization, proof, core.ada()))
    assert.is(code, 'root-key-invalid', proof)
  }
  const foreign = core.custody.forget(other, proofOf(core, organization, root), core.ada())
  assert.is(await codeOf(foreign), 'root-key-invalid')
  assert.ok(existsSync(core.issuing.keys.rootPath(organization)))
  assert.not.ok((await audited(core, organization)).includes('root.forgotten'))
})

rule('what comes back must be the key that went: another one is refused', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const seed = await core.custody.export(organization, core.ada())
  const root = signingKeyPairFromSeed<'root'>(fromBase64(seed))
  await core.custody.forget(organization, proofOf(core, organization, root), core.ada())
  for (const wrong of [toBase64(new Uint8Array(32).fill(7)), 'AAAA', '', 'not base64!']) {
    const code = await codeOf(core.custody.import(organization, wrong, core.ada()))
    assert.is(code, 'root-key-invalid', wrong)
  }
  await core.custody.import(organization, seed, core.ada())
  assert.equal((await core.issuing.keys.root(organization))?.publicKey, root.publicKey)
  assert.is((await audited(core, organization)).at(-1), 'root.imported')
  core.advance(60 * DAY)
  await renewIssuers(core)
  assert.is(core.logged.at(-1)?.event, 'issuer.renewed')
})

rule('the key appears in no log, no audit entry, and nowhere in the store', async () => {
  const core = await startCore()
  const organization = await core.issuing.found('Acme')
  const seed = await core.custody.export(organization, core.ada())
  const root = signingKeyPairFromSeed<'root'>(fromBase64(seed))
  await core.custody.forget(organization, proofOf(core, organization, root), core.ada())
  await core.custody.import(organization, seed, core.ada())
  const told = JSON.stringify([
    core.logged,
    (await auditPage(core.database, organization, { limit: 100 })).items,
  ])
  assert.not.match(told, seed)
  await core[Symbol.asyncDispose]()
  for (const name of await readdir(`${core.stateDirectory}/store`)) {
    const content = await readFile(`${core.stateDirectory}/store/${name}`).catch(() => Buffer.of())
    assert.is(content.includes(seed), false, name)
    assert.is(content.includes(Buffer.from(seed, 'base64')), false, name)
  }
})

rule(
  'a file that is put back by hand after an export is told of once a day, and left alone',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const root = await exported(core, organization)
    await core.custody.forget(organization, proofOf(core, organization, root), core.ada())
    await core.issuing.keys.saveRoot(organization, root)
    for (const hours of [0, 1, 24]) {
      core.advance(hours * 3600)
      await core.custody.look()
    }
    const told = core.logged.filter(({ event }) => event === 'root.left-here')
    assert.is(told.length, 2)
    assert.match(String(told[0]?.fields['todo']), core.issuing.keys.rootPath(organization))
    assert.ok(existsSync(core.issuing.keys.rootPath(organization)))
  },
)

rule.run()
