import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openLevelStore } from '../../../registry/store/level-store.ts'
import {
  checkSchema,
  SCHEMA_KEY,
  SCHEMA_VERSION,
  schemaVersion,
} from '../../../registry/store/schema.ts'
import { StoreError } from '../../../registry/store/store.ts'
import { temporaryDirectory } from '../../support/registry.ts'

const rule = suite('schema version')
const open = async () => openLevelStore(join(await temporaryDirectory(), 'store'))
const write = (version: unknown) => ({
  puts: [{ key: SCHEMA_KEY, value: new TextEncoder().encode(JSON.stringify({ version })) }],
})

rule('is written into a store that has none, and then left alone', async () => {
  await using store = await open()
  assert.is(await schemaVersion(store), undefined)
  await Promise.all([checkSchema(store), checkSchema(store)])
  assert.is(await schemaVersion(store), SCHEMA_VERSION)
  const { version } = (await store.get(SCHEMA_KEY)) ?? {}
  await checkSchema(store)
  assert.is((await store.get(SCHEMA_KEY))?.version, version)
})

rule('of a newer registry is refused, and the store left as it is', async () => {
  await using store = await open()
  await store.commit(write(SCHEMA_VERSION + 1))
  const error = await checkSchema(store).catch((e: unknown) => e)
  assert.instance(error, StoreError)
  assert.match(String(error), `schema version ${SCHEMA_VERSION + 1}`)
  assert.match(String(error), 'install the newer registry')
  assert.is(await schemaVersion(store), SCHEMA_VERSION + 1)
})

rule('that is no number is a corrupt store', async () => {
  await using store = await open()
  for (const version of ['1', 0, -1, 1.5, null]) {
    await store.commit(write(version))
    const error = await checkSchema(store).catch((e: unknown) => e)
    assert.match(String(error), 'schema:version')
  }
})

rule.run()
