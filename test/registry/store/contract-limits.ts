/** What every storage engine must do with much, with large records, and after its end. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Store, StoreError } from '../../../registry/store/store.ts'
import { bytes, type Engine, keys, put, text } from './contract.ts'

export function limitsContract(engine: Engine): void {
  const rule = suite(`store contract, limits: ${engine.name}`)
  const withStore = async (body: (store: Store) => Promise<void>) => {
    await using store = await engine.open(await engine.place())
    await body(store)
  }

  rule('lists more than any page holds, in order, either way, and up to a limit', () =>
    withStore(async (store) => {
      const all = Array.from({ length: 450 }, (_, n) => `p:${String(n).padStart(4, '0')}`)
      await put(store, Object.fromEntries(all.map((key) => [key, key])))
      const range = { gte: 'p:', lt: 'p:\u007f' }
      assert.equal(await keys(store, range), all)
      assert.equal(await keys(store, { ...range, reverse: true }), all.toReversed())
      assert.equal(await keys(store, { ...range, limit: 250 }), all.slice(0, 250))
      assert.equal(
        await keys(store, { ...range, limit: 250, reverse: true }),
        all.toReversed().slice(0, 250),
      )
    }),
  )

  rule('writes hundreds of records after hundreds of checks, or nothing', () =>
    withStore(async (store) => {
      const all = Array.from({ length: 300 }, (_, n) => `m:${n}`)
      const puts = all.map((key) => ({ key, value: bytes('new') }))
      await put(store, Object.fromEntries(all.map((key) => [key, 'old'])))
      const checks: { key: string; version: bigint }[] = []
      for await (const { key, version } of store.list({ gte: 'm:', lt: 'm:\u007f' })) {
        checks.push({ key, version })
      }
      const stale = checks.with(299, { key: checks[299]?.key ?? '', version: 999_999n })
      assert.equal(await store.commit({ checks: stale, puts }), { ok: false })
      assert.equal(await store.commit({ checks: stale }), { ok: false })
      assert.is(text(await store.get('m:0')), 'old')
      assert.is((await store.commit({ checks, puts })).ok, true)
      assert.is(text(await store.get('m:299')), 'new')
    }),
  )

  rule('puts a key that the same commit deletes', () =>
    withStore(async (store) => {
      await put(store, { a: 'old' })
      const result = await store.commit({ dels: ['a'], puts: [{ key: 'a', value: bytes('new') }] })
      assert.is(result.ok, true)
      assert.is(text(await store.get('a')), 'new')
    }),
  )

  rule('keeps the largest value and the longest key that engines must take', () =>
    withStore(async (store) => {
      const value = new Uint8Array(512 * 1024).map((_, at) => at * 31)
      const key = `k${'~'.repeat(511)}`
      assert.is((await store.commit({ puts: [{ key, value }] })).ok, true)
      assert.equal((await store.get(key))?.value, value)
    }),
  )

  rule('takes nothing more once it is closed', async () => {
    const store = await engine.open(await engine.place())
    await store[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
    const write = store.commit({ puts: [{ key: 'a', value: bytes('x') }] })
    assert.instance(await write.catch((e: unknown) => e), StoreError)
    assert.instance(await store.get('a').catch((e: unknown) => e), StoreError)
    const list = keys(store, { gte: 'a', lt: 'b' })
    assert.instance(await list.catch((e: unknown) => e), StoreError)
  })

  rule.run()
}
