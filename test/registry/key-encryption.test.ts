// time limit: 300 s
/** The change from one key-encryption key to another. */
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase32, toBase64 } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair, seedOf } from '../../crypto/signing.ts'
import { organizationIdOf } from '../../protocol/keys.ts'
import {
  changeKeyEncryptionKey,
  openKeyEncryption,
  SEALED_KEY,
} from '../../registry/key-encryption.ts'
import {
  type KeyEncryptionKey,
  makeKeyEncryptionKey,
  readKeyEncryptionKey,
} from '../../registry/key-encryption-key.ts'
import { type KeyStore, openKeyStore } from '../../registry/key-store.ts'
import { openSealedKeyStore } from '../../registry/sealed-key-store.ts'
import { type Database, openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import type { Store } from '../../registry/store/store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { withSession } from '../support/api.ts'
import { ADA, startTestRegistry, temporaryDirectory } from '../support/registry.ts'
import { completed } from '../support/registry-process.ts'

const rule = suite('change of the key-encryption key')

const databaseOf = (store: Store) => openDatabase(store, { clock: systemClock, randomBytes })

async function newKey(name: string): Promise<KeyEncryptionKey> {
  const file = join(await temporaryDirectory(), name)
  await makeKeyEncryptionKey(file, randomBytes)
  return readKeyEncryptionKey(file, randomBytes)
}

/** Signing keys as a registry that was given these has them. Throws where it would not start. */
async function keysWith(database: Database, ...given: KeyEncryptionKey[]): Promise<KeyStore> {
  const keys = await openKeyEncryption(database, given)
  if (keys === undefined) throw new Error('no key was given')
  const files = await openKeyStore(await temporaryDirectory())
  return openSealedKeyStore({ database, keys, files, log: () => undefined })
}

/** Two organizations, each with a root and an issuer. */
const ORGANIZATIONS = [0, 1].map(() => {
  const root = generateSigningKeyPair<'root'>()
  const issuer = generateSigningKeyPair<'issuer'>()
  return { id: organizationIdOf(root.publicKey), root, issuer }
})

async function scene() {
  const store = await openLevelStore(await temporaryDirectory())
  const database = databaseOf(store)
  const [old, next] = [await newKey('old.key'), await newKey('new.key')]
  const keys = await keysWith(database, old)
  for (const { id, root, issuer } of ORGANIZATIONS) {
    await keys.saveRoot(id, root)
    await keys.saveNextIssuer(id, issuer)
  }
  return { store, database, old, next, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

async function assertAllThere(keys: KeyStore): Promise<void> {
  for (const { id, root, issuer } of ORGANIZATIONS) {
    const [theRoot, theIssuer] = [
      await keys.root(id),
      await keys.issuer(id, toBase32(issuer.publicKey)),
    ]
    assert.equal(theRoot && seedOf(theRoot), seedOf(root))
    assert.equal(theIssuer && seedOf(theIssuer), seedOf(issuer))
  }
}

const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => String(error),
  )

/** The store, until it has taken `commits` more: then it is as if the process were killed. */
function dyingAfter(store: Store, commits: number): Store {
  let left = commits
  return {
    ...store,
    get: (key) => store.get(key),
    list: (range) => store.list(range),
    commit: async (commit) => {
      if (left-- <= 0) throw new Error('killed')
      return store.commit(commit)
    },
  }
}

rule('seals every key anew: the new key opens all, the old one is refused', async () => {
  await using scene_ = await scene()
  const { database, old, next } = scene_
  assert.equal(await changeKeyEncryptionKey(database, old, next), { sealed: 4, before: 0 })
  await assertAllThere(await keysWith(database, next))
  assert.match(await errorOf(keysWith(database, old)), 'sealed with another key')
  assert.equal(await changeKeyEncryptionKey(database, old, next), { sealed: 0, before: 4 })
})

rule('broken off at any point, loses nothing to registries with both, and goes on', async () => {
  // The first commit begins it, then one for each of four keys, and the last one ends it.
  for (let commits = 0; commits < 6; commits++) {
    await using scene_ = await scene()
    const { store, database, old, next } = scene_
    const dying = databaseOf(dyingAfter(store, commits))
    assert.match(await errorOf(changeKeyEncryptionKey(dying, old, next)), 'killed')
    for (const given of [
      [old, next],
      [next, old],
    ]) {
      await assertAllThere(await keysWith(database, ...given))
    }
    const alone = await errorOf(keysWith(database, next))
    assert.match(alone, commits === 0 ? 'sealed with another key' : 'change-key" again, to its end')
    const { sealed, before } = await changeKeyEncryptionKey(database, old, next)
    assert.equal([sealed, before], [4 - Math.max(0, commits - 1), Math.max(0, commits - 1)])
    await assertAllThere(await keysWith(database, next))
  }
})

rule('broken off, goes back as well', async () => {
  await using scene_ = await scene()
  const { store, database, old, next } = scene_
  const dying = databaseOf(dyingAfter(store, 3))
  assert.match(await errorOf(changeKeyEncryptionKey(dying, old, next)), 'killed')
  assert.equal(await changeKeyEncryptionKey(database, next, old), { sealed: 2, before: 2 })
  await assertAllThere(await keysWith(database, old))
})

rule('a registry with both seals with the new key from the first moment on', async () => {
  await using scene_ = await scene()
  const { store, database, old, next } = scene_
  const [both, stale] = [await keysWith(database, old, next), await keysWith(database, old)]
  const dying = databaseOf(dyingAfter(store, 1))
  assert.match(await errorOf(changeKeyEncryptionKey(dying, old, next)), 'killed')
  const root = generateSigningKeyPair<'root'>()
  const id = organizationIdOf(root.publicKey)
  assert.match(await errorOf(stale.saveRoot(id, root)), 'restart the registry with the new file')
  assert.is(await both.root(id), undefined)
  await both.saveRoot(id, root)
  assert.equal(await changeKeyEncryptionKey(database, old, next), { sealed: 4, before: 1 })
  const found = await (await keysWith(database, next)).root(id)
  assert.equal(found && seedOf(found), seedOf(root))
  assert.match(await errorOf(stale.root(id)), 'sealed with a newer key-encryption key')
})

rule('changes nothing where the keys are not those of the store', async () => {
  await using scene_ = await scene()
  const { database, old, next } = scene_
  const other = await newKey('other.key')
  for (const [from, to, why] of [
    [other, next, `another key than ${other.path} and ${next.path}: nothing was changed`],
    [old, old, 'are the same key'],
  ] as const) {
    assert.match(await errorOf(changeKeyEncryptionKey(database, from, to)), why)
  }
  await assertAllThere(await keysWith(database, old))
  await using empty = await openLevelStore(await temporaryDirectory())
  const none = await errorOf(changeKeyEncryptionKey(databaseOf(empty), old, next))
  assert.match(none, 'has no sealed keys')
})

rule(
  'goes on behind what opens with neither key, names all of it, and ends when it is mended',
  async () => {
    await using scene_ = await scene()
    const { database, old, next } = scene_
    const whole = await Array.fromAsync(database.list(SEALED_KEY))
    const put = (id: string, value: { sealed: string }) =>
      database.transact('test', async (transaction) => transaction.put(SEALED_KEY, id, value))
    const [first, , third] = whole
    if (first === undefined || third === undefined) throw new Error('no four keys')
    await put(first.id, { sealed: toBase64(randomBytes(72)) })
    await put(third.id, {
      sealed: toBase64((await newKey('other.key')).seal(randomBytes(32), 'x')),
    })
    for (const run of ['first', 'second']) {
      const error = await errorOf(changeKeyEncryptionKey(database, old, next))
      assert.match(error, 'ConfigError', run)
      assert.match(error, `"${first.id}", "${third.id}"`)
      assert.match(error, `All others, 2, are sealed with ${next.path} now`)
    }
    assert.match(await errorOf(keysWith(database, next)), 'change-key" again, to its end')
    await put(first.id, first.value)
    await put(third.id, third.value)
    await assertAllThere(await keysWith(database, old, next))
    assert.equal(await changeKeyEncryptionKey(database, old, next), { sealed: 2, before: 2 })
    await assertAllThere(await keysWith(database, next))
  },
)

rule('two changes at once are not mixed: one of them is told', async () => {
  await using scene_ = await scene()
  const { store, database, old, next } = scene_
  const other = await newKey('other.key')
  const dying = databaseOf(dyingAfter(store, 2))
  assert.match(await errorOf(changeKeyEncryptionKey(dying, old, next)), 'killed')
  for (const [from, to] of [
    [old, other],
    [next, other],
  ] as const) {
    assert.match(await errorOf(changeKeyEncryptionKey(database, from, to)), 'nothing was changed')
  }
  const both = await Promise.allSettled([
    changeKeyEncryptionKey(databaseOf(store), old, next),
    changeKeyEncryptionKey(databaseOf(store), next, old),
  ])
  const lost = both.filter(({ status }) => status === 'rejected')
  assert.is(lost.length, 1, JSON.stringify(both))
  await assertAllThere(await keysWith(database, old, next))
})

rule('as an operator does it: the registry has its organizations and signs as before', async () => {
  const [old, next] = [await newKey('old.key'), await newKey('new.key')]
  const stateDirectory = await temporaryDirectory()
  const start = (keyEncryptionKeyFile: string) =>
    startTestRegistry({ stateDirectory, keyEncryptionKeyFile })
  const before = await start(old.path)
  const organizations = await organizationsOf(await before.ada())
  const command = ['store', 'change-key', old.path, next.path, '--state-dir', stateDirectory]
  const busy = await completed(command)
  assert.match(busy.stderr, 'another registry is using it')
  await before[Symbol.asyncDispose]()
  const changed = await completed(command)
  assert.is(changed.code, 0, changed.stderr)
  assert.match(changed.stdout, /2 keys are sealed with .*new\.key now, 0 were before/)
  assert.match(await errorOf(start(old.path)), 'sealed with another key')
  await using after = await start(next.path)
  const ada = await loginByHttp(after.url, ADA)
  assert.equal(await organizationsOf(ada), organizations)
  const key = { description: 'to sign with', singleUse: true }
  const path = `/organizations/${organizations[0]}/registration-keys`
  assert.is((await withSession(ada)('POST', path, key)).status, 201)
})

rule.run()
