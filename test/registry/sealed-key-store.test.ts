import { chmod, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromUtf8, toBase32, toBase64 } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair, seedOf } from '../../crypto/signing.ts'
import { organizationIdOf } from '../../protocol/keys.ts'
import { loadIdentityKeys } from '../../registry/identity/keys.ts'
import { openKeyEncryption } from '../../registry/key-encryption.ts'
import { makeKeyEncryptionKey, readKeyEncryptionKey } from '../../registry/key-encryption-key.ts'
import { openKeyStore } from '../../registry/key-store.ts'
import { openSealedKeyStore } from '../../registry/sealed-key-store.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('sealed key store')
const log = () => undefined

async function scene() {
  const store = await openLevelStore(await temporaryDirectory())
  const database = openDatabase(store, { clock: systemClock, randomBytes })
  const file = join(await temporaryDirectory(), 'sealing.key')
  await makeKeyEncryptionKey(file, randomBytes)
  const key = await readKeyEncryptionKey(file, randomBytes)
  /** As another registry sees it. */
  const registry = async () => {
    const stateDirectory = await temporaryDirectory()
    const files = await openKeyStore(stateDirectory)
    const given = (await openKeyEncryption(database, [key])) ?? [key]
    const keys = openSealedKeyStore({ database, keys: given, files, log })
    return { keys, files, stateDirectory }
  }
  return { store, database, file, key, registry }
}

const root = generateSigningKeyPair<'root'>()
const issuer = generateSigningKeyPair<'issuer'>()
const organization = organizationIdOf(root.publicKey)
const named = toBase32(issuer.publicKey)

rule('gives one registry the keys that another one made', async () => {
  const { registry, store } = await scene()
  const a = await registry()
  await a.keys.saveRoot(organization, root)
  await a.keys.saveNextIssuer(organization, issuer)
  const b = await registry()
  const found = await b.keys.issuer(organization, named)
  assert.equal(found && seedOf(found), seedOf(issuer))
  const theRoot = await b.keys.root(organization)
  assert.equal(theRoot && seedOf(theRoot), seedOf(root))
  assert.equal(await readdir(join(a.stateDirectory, 'roots')), [])
  assert.equal(await readdir(join(a.stateDirectory, 'issuers')), [])
  await store[Symbol.asyncDispose]()
})

rule('loses neither issuer of two that are made at once', async () => {
  const { registry, store } = await scene()
  const [a, b] = [await registry(), await registry()]
  const other = generateSigningKeyPair<'issuer'>()
  await Promise.all([
    a.keys.saveNextIssuer(organization, issuer),
    b.keys.saveNextIssuer(organization, other),
  ])
  assert.ok(await a.keys.issuer(organization, toBase32(other.publicKey)))
  assert.ok(await b.keys.issuer(organization, named))
  const unknown = generateSigningKeyPair<'issuer'>()
  assert.is(await a.keys.issuer(organization, toBase32(unknown.publicKey)), undefined)
  await store[Symbol.asyncDispose]()
})

rule('forgets a root key for all registries, and in the state directory of its own', async () => {
  const { registry, store } = await scene()
  const [a, b] = [await registry(), await registry()]
  await a.files.saveRoot(organization, root)
  await a.files.saveNextIssuer(organization, issuer)
  await a.keys.issuer(organization, named) // seals both
  await a.keys.forgetRoot(organization)
  assert.is(await a.keys.root(organization), undefined)
  assert.is(await b.keys.root(organization), undefined)
  assert.ok(await b.keys.issuer(organization, named), 'the issuer stays')
  await a.keys.forgetRoot(organization)
  await store[Symbol.asyncDispose]()
})

rule('knows an issuer key that another registry has made for a certificate to come', async () => {
  const { registry, store } = await scene()
  const [a, b] = [await registry(), await registry()]
  await a.keys.saveNextIssuer(organization, issuer)
  const found = await b.keys.nextIssuer(organization, named)
  assert.equal(found && seedOf(found), seedOf(issuer))
  assert.is(await b.keys.nextIssuer(organization, 'a'.repeat(52)), undefined)
  await store[Symbol.asyncDispose]()
})

rule('takes in what only the state directory has, once, and for all registries', async () => {
  const { registry, store } = await scene()
  const a = await registry()
  await a.files.saveRoot(organization, root)
  await a.files.saveNextIssuer(organization, issuer)
  const b = await registry()
  assert.is(await b.keys.issuer(organization, named), undefined)
  assert.ok(await a.keys.issuer(organization, named))
  assert.ok(await b.keys.issuer(organization, named))
  assert.ok(await b.keys.root(organization))
  await store[Symbol.asyncDispose]()
})

rule('finds a root key that the operator put back as a file', async () => {
  const { registry, store } = await scene()
  const a = await registry()
  assert.is(await a.keys.root(organization), undefined)
  await a.files.saveRoot(organization, root)
  assert.ok(await a.keys.root(organization))
  assert.match(a.keys.rootPath(organization), `roots/${organization}.key`)
  await store[Symbol.asyncDispose]()
})

rule('forgets all keys of one organization, and none of another', async () => {
  const { registry, store } = await scene()
  const a = await registry()
  const otherRoot = generateSigningKeyPair<'root'>()
  const other = organizationIdOf(otherRoot.publicKey)
  await a.files.saveRoot(organization, root)
  for (const each of [organization, other]) await a.keys.saveNextIssuer(each, issuer)
  await a.keys.forget(organization)
  await a.keys.forget(organization)
  assert.is(await a.keys.issuer(organization, named), undefined)
  assert.is(await a.keys.root(organization), undefined)
  assert.ok(await a.keys.issuer(other, named))
  await store[Symbol.asyncDispose]()
})

rule('puts no key into the store that can be read without the secret', async () => {
  const { registry, store } = await scene()
  const a = await registry()
  await a.keys.saveRoot(organization, root)
  await a.keys.saveNextIssuer(organization, issuer)
  for await (const { key, value } of store.list({ gte: '!', lt: '\u007f' })) {
    const text = fromUtf8(value)
    for (const pair of [root, issuer]) assert.not.match(text, toBase64(seedOf(pair)), key)
  }
  await store[Symbol.asyncDispose]()
})

rule(
  'does not open what was sealed for another name, with another key, or was changed',
  async () => {
    const { key, store } = await scene()
    const sealed = key.seal(Uint8Array.of(1, 2, 3), 'a')
    assert.equal(key.open(sealed, 'a'), Uint8Array.of(1, 2, 3))
    assert.is(key.open(sealed, 'b'), undefined)
    assert.is(key.open(sealed.with(-1, (sealed.at(-1) ?? 0) ^ 1), 'a'), undefined)
    assert.is(key.open(sealed.subarray(0, 30), 'a'), undefined)
    assert.is(key.open(new Uint8Array(), 'a'), undefined)
    const { key: other, store: otherStore } = await scene()
    assert.is(other.open(sealed, 'a'), undefined)
    assert.is.not(other.id, key.id)
    await store[Symbol.asyncDispose]()
    await otherStore[Symbol.asyncDispose]()
  },
)

rule('refuses a registry that was given another key, or none', async () => {
  const { database, registry, store } = await scene()
  assert.is(await openKeyEncryption(database, []), undefined)
  await registry()
  const none = await openKeyEncryption(database, []).catch((e: unknown) => e)
  assert.match(String(none), '--key-encryption-key-file is needed')
  const { key: other, store: otherStore } = await scene()
  const error = await openKeyEncryption(database, [other]).catch((e: unknown) => e)
  assert.match(String(error), `--key-encryption-key-file ${other.path}`)
  assert.match(String(error), 'sealed with another key')
  await store[Symbol.asyncDispose]()
  await otherStore[Symbol.asyncDispose]()
})

rule('says what is wrong with the file', async () => {
  const { file, store } = await scene()
  const read = () => readKeyEncryptionKey(file, randomBytes).catch((e: unknown) => e)
  const again = await makeKeyEncryptionKey(file, randomBytes).catch((e: unknown) => e)
  assert.match(String(again), 'is a key already: nothing was changed')
  await chmod(file, 0o644)
  assert.match(String(await read()), `chmod 600 ${file}`)
  await rm(file)
  assert.match(String(await read()), `store make-key ${file}`)
  await store[Symbol.asyncDispose]()
})

rule('gives every registry the same secrets of sign-in', async () => {
  const { key, registry, store } = await scene()
  const [a, b] = [await registry(), await registry()]
  const load = (directory: string) => loadIdentityKeys(directory, randomBytes, key)
  assert.equal(await load(a.stateDirectory), await load(b.stateDirectory))
  assert.equal(
    (await readdir(a.stateDirectory)).filter((name) => name.endsWith('.key')),
    [],
  )
  const apart = await loadIdentityKeys(a.stateDirectory, randomBytes)
  assert.is.not(apart.providerCookies, (await load(a.stateDirectory)).providerCookies)
  await store[Symbol.asyncDispose]()
})

rule.run()
