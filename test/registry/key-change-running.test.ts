// time limit: 300 s
/** The key-encryption key changed while registries of one etcd cluster run. */
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { makeKeyEncryptionKey } from '../../registry/key-encryption-key.ts'
import { parseStoreLocation } from '../../registry/store/location.ts'
import { openBrowser, organizationsOf } from '../../simulations/lab/login.ts'
import { withSession } from '../support/api.ts'
import { clientOf, newApplicant } from '../support/applicant.ts'
import { startEtcd } from '../support/etcd.ts'
import { needs } from '../support/needs.ts'
import { startTestRegistry, type TestRegistry, temporaryDirectory } from '../support/registry.ts'
import { completed } from '../support/registry-process.ts'

needs('etcd')

const rule = suite('change of the key-encryption key while registries run')

async function newKeyFile(name: string): Promise<string> {
  const file = join(await temporaryDirectory(), name)
  await makeKeyEncryptionKey(file, randomBytes)
  return file
}

rule('no device and no organization is refused meanwhile, nor later by any registry', async () => {
  const [old, next] = [await newKeyFile('old.key'), await newKeyFile('new.key')]
  await using cluster = await startEtcd(1)
  const location = cluster.location('change')
  const store = parseStoreLocation(location)
  const both = { store, keyEncryptionKeyFile: old, otherKeyEncryptionKeyFile: next }
  await using first = await startTestRegistry(both)
  const ada = await first.ada()
  const [organization = ''] = await organizationsOf(ada)
  const made = await withSession(ada)('POST', `/organizations/${organization}/registration-keys`, {
    description: 'many',
    singleUse: false,
  })
  const registrationKey = String(made.json['key'])
  const enrol = async (at: TestRegistry, name: string) => {
    const issued = await clientOf(at).enrol(newApplicant(name), { registrationKey })
    assert.is(issued.organization, organization)
  }
  const found = async (at: TestRegistry, name: string) => {
    const browser = openBrowser(at.url)
    browser.plant('nexodus-session', ada.cookie('nexodus-session') ?? '')
    assert.is((await withSession(browser)('POST', '/organizations', { name })).status, 201)
  }

  let isRunning = true
  const change = completed(['store', 'change-key', old, next, '--store', location]).finally(() => {
    isRunning = false
  })
  for (let count = 0; isRunning; count++) {
    await enrol(first, `meanwhile-${count}`)
    if (count < 3) await found(first, `meanwhile-${count}`)
  }
  const changed = await change
  assert.is(changed.code, 0, changed.stderr)
  await enrol(first, 'after')
  await found(first, 'after')
  await using second = await startTestRegistry({ store, keyEncryptionKeyFile: next })
  await enrol(second, 'at-the-new-one')
  await found(second, 'at-the-new-one')
  await enrol(first, 'last')
})

rule.run()
