import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { copyStore } from '../../../registry/store/copy.ts'
import { openLevelStore } from '../../../registry/store/level-store.ts'
import { checkSchema, SCHEMA_KEY, schemaVersion } from '../../../registry/store/schema.ts'
import type { Store } from '../../../registry/store/store.ts'
import { temporaryDirectory } from '../../support/registry.ts'

const rule = suite('copying a store')
const open = async () => openLevelStore(join(await temporaryDirectory(), 'store'))

async function contentOf(store: Store): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for await (const { key, value } of store.list({ gte: '!', lt: '\u007f' })) {
    found.set(key, Buffer.from(value).toString('base64'))
  }
  return found
}

rule('has every record on the other side, byte for byte', async () => {
  await using from = await open()
  await using to = await open()
  await checkSchema(from)
  const value = new Uint8Array(3000).map((_, at) => at * 31)
  await from.commit({
    puts: Array.from({ length: 1500 }, (_, at) => ({ key: `k:${at}`, value: value.subarray(at) })),
  })
  await from.commit({ puts: [{ key: 'large', value: new Uint8Array(512 * 1024) }] })
  assert.is(await copyStore(from, to), 1502)
  assert.equal(await contentOf(to), await contentOf(from))
})

rule('is refused where the target holds anything', async () => {
  await using from = await open()
  await using to = await open()
  await from.commit({ puts: [{ key: 'a', value: Uint8Array.of(1) }] })
  await to.commit({ puts: [{ key: 'b', value: Uint8Array.of(2) }] })
  const error = await copyStore(from, to).catch((e: unknown) => e)
  assert.match(String(error), 'holds records already, such as "b"')
  assert.equal([...(await contentOf(to)).keys()], ['b'])
})

rule('is refused where a newer registry wrote the source', async () => {
  await using from = await open()
  await using to = await open()
  const value = new TextEncoder().encode('{"version":99}')
  await from.commit({ puts: [{ key: SCHEMA_KEY, value }] })
  assert.match(String(await copyStore(from, to).catch((e: unknown) => e)), 'schema version 99')
  assert.is((await contentOf(to)).size, 0)
})

rule('gives a store that is older than schema versions one', async () => {
  await using from = await open()
  await using to = await open()
  await from.commit({ puts: [{ key: 'a', value: Uint8Array.of(1) }] })
  await copyStore(from, to)
  assert.is(await schemaVersion(to), 1)
})

rule.run()
