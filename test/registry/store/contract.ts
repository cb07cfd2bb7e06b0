/** What every storage engine must do; run by each engine's own test file. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { randomBytes } from '../../../crypto/random.ts'
import { collection } from '../../../registry/store/collection.ts'
import { openDatabase } from '../../../registry/store/database.ts'
import { type Entry, type Store, StoreError } from '../../../registry/store/store.ts'
import { systemClock } from '../../../registry/system-clock.ts'

export interface Engine {
  readonly name: string
  /** Opens the store at `place`, created when absent: opening again is a restart, or another replica. */
  readonly open: (place: string) => Promise<Store>
  /** A new empty place. */
  readonly place: () => Promise<string>
}

export const bytes = (text: string) => new TextEncoder().encode(text)
export const text = (entry: Entry | undefined) => entry && new TextDecoder().decode(entry.value)
const counters = collection('counter', z.object({ value: z.number() }))
const log = collection('log', z.object({ by: z.number() }))

export async function put(store: Store, entries: Record<string, string>): Promise<void> {
  const puts = Object.entries(entries).map(([key, value]) => ({ key, value: bytes(value) }))
  const result = await store.commit({ puts })
  assert.ok(result.ok)
  if (result.ok) await result.durable
}

export async function keys(store: Store, range: Parameters<Store['list']>[0]): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of store.list(range)) found.push(key)
  return found
}

export function storeContract(engine: Engine): void {
  const rule = suite(`store contract: ${engine.name}`)
  const withStore = async (body: (store: Store, place: string) => Promise<void>) => {
    const place = await engine.place()
    await using store = await engine.open(place)
    await body(store, place)
  }
  const databaseOf = (store: Store) => openDatabase(store, { clock: systemClock, randomBytes })

  rule('gives undefined for a key that was never written', () =>
    withStore(async (store) => {
      assert.is(await store.get('absent'), undefined)
    }),
  )

  rule('gives what was written, and a greater version at each write', () =>
    withStore(async (store) => {
      await put(store, { a: 'one' })
      const first = await store.get('a')
      await put(store, { a: 'two' })
      const second = await store.get('a')
      assert.is(text(first), 'one')
      assert.is(text(second), 'two')
      assert.ok((second?.version ?? 0n) > (first?.version ?? 0n))
    }),
  )

  rule('writes nothing of a commit when one of its checks fails', () =>
    withStore(async (store) => {
      await put(store, { a: 'one' })
      const version = (await store.get('a'))?.version ?? 0n
      const refused = await store.commit({
        checks: [
          { key: 'a', version },
          { key: 'b', version: 1n },
        ],
        puts: [{ key: 'c', value: bytes('x') }],
        dels: ['a'],
      })
      assert.equal(refused, { ok: false })
      assert.is(text(await store.get('a')), 'one')
      assert.is(await store.get('c'), undefined)
    }),
  )

  rule('takes version 0 to mean that the key does not exist', () =>
    withStore(async (store) => {
      const create = {
        checks: [{ key: 'a', version: 0n }],
        puts: [{ key: 'a', value: bytes('x') }],
      }
      assert.is((await store.commit(create)).ok, true)
      assert.is((await store.commit(create)).ok, false)
    }),
  )

  rule('never gives a key it deleted and wrote again an earlier version', () =>
    withStore(async (store) => {
      await put(store, { a: 'same' })
      const version = (await store.get('a'))?.version ?? 0n
      await store.commit({ dels: ['a'] })
      await put(store, { a: 'same' })
      const stale = await store.commit({ checks: [{ key: 'a', version }], dels: ['a'] })
      assert.equal(stale, { ok: false })
    }),
  )

  rule('lists a range in byte order, its reverse, and up to its limit', () =>
    withStore(async (store) => {
      await put(store, { 'k:b': '', 'k:a': '', 'k:B': '', 'k:a/1': '', 'j:z': '', 'l:a': '' })
      const range = { gte: 'k:', lt: 'k:\u007f' }
      assert.equal(await keys(store, range), ['k:B', 'k:a', 'k:a/1', 'k:b'])
      assert.equal(await keys(store, { ...range, reverse: true }), ['k:b', 'k:a/1', 'k:a', 'k:B'])
      assert.equal(await keys(store, { ...range, limit: 2 }), ['k:B', 'k:a'])
      assert.equal(await keys(store, { ...range, limit: 0 }), [])
      assert.equal(await keys(store, { gte: 'k:a', lt: 'k:b' }), ['k:a', 'k:a/1'])
    }),
  )

  rule('lists accepted writes and deletions before they are durable', () =>
    withStore(async (store) => {
      await put(store, { a: '1', c: '1', e: '1' })
      await store.commit({
        puts: [
          { key: 'b', value: bytes('2') },
          { key: 'c', value: bytes('2') },
          { key: 'f', value: bytes('2') },
        ],
        dels: ['e'],
      })
      const seen: string[] = []
      for await (const entry of store.list({ gte: 'a', lt: 'z' })) {
        seen.push(`${entry.key}${text(entry)}`)
      }
      assert.equal(seen, ['a1', 'b2', 'c2', 'f2'])
      assert.equal(await keys(store, { gte: 'a', lt: 'z', reverse: true }), ['f', 'c', 'b', 'a'])
    }),
  )

  rule('refuses keys and values that no engine may be given', () =>
    withStore(async (store) => {
      for (const key of ['', 'white space', 'ümlaut', 'x'.repeat(513)]) {
        const error = await store
          .commit({ puts: [{ key, value: bytes('x') }] })
          .catch((e: unknown) => e)
        assert.instance(error, StoreError, key)
      }
      const large = store.commit({ puts: [{ key: 'a', value: new Uint8Array(512 * 1024 + 1) }] })
      assert.match(String(await large.catch((e: unknown) => e)), 'limit 524288')
    }),
  )

  rule('calls a watcher with the keys under its prefix, and no more once cancelled', () =>
    withStore(async (store) => {
      const seen: string[][] = []
      const watch = store.watch('w:', (changed) => void seen.push([...changed].sort()))
      await put(store, { 'w:1': 'x', 'w:2': 'x', 'v:1': 'x' })
      await until(() => seen.flat().length === 2)
      watch.cancel()
      await put(store, { 'w:3': 'x' })
      assert.equal(seen.flat(), ['w:1', 'w:2'])
    }),
  )

  rule('counts N concurrent increments as N, unique and without gaps', () =>
    withStore(async (store, place) => {
      const database = databaseOf(store)
      const increment = (by: number) => (scope: string) =>
        database.transact(scope, async (transaction) => {
          const value = ((await transaction.get(counters, 'n'))?.value ?? 0) + 1
          transaction.put(counters, 'n', { value })
          transaction.put(log, String(value).padStart(6, '0'), { by })
          return value
        })
      // Half of them in scopes of their own: there the checks alone keep the order.
      const all = Array.from({ length: 100 }, (_, by) =>
        increment(by)(by % 10 ? 'one' : `own-${by}`),
      )
      const values = await Promise.all(all)
      assert.equal(
        values.sort((a, b) => a - b),
        Array.from({ length: 100 }, (_, i) => i + 1),
      )
      const logged = await keys(store, { gte: 'log:', lt: 'log:\u007f' })
      assert.is(logged.length, 100)
      assert.equal(await database.get(counters, 'n'), { value: 100 }, place)
    }),
  )

  rule('runs a body again that threw on a mix of old and new records', () =>
    withStore(async (store) => {
      const database = databaseOf(store)
      await database.transact('x', async (t) => {
        t.put(counters, 'left', { value: 1 })
        t.put(counters, 'right', { value: 1 })
      })
      let runs = 0
      const sum = await database.transact('reader', async (t) => {
        const left = await t.get(counters, 'left')
        if (++runs === 1) {
          await database.transact('writer', async (other) => {
            other.put(counters, 'left', { value: 2 })
            other.put(counters, 'right', { value: 2 })
          })
        }
        const right = await t.get(counters, 'right')
        if (left?.value !== right?.value) throw new Error('the mix')
        return (left?.value ?? 0) + (right?.value ?? 0)
      })
      assert.equal([sum, runs], [4, 2])
    }),
  )

  rule('throws what a body threw, and writes nothing, when what it read still holds', () =>
    withStore(async (store) => {
      const database = databaseOf(store)
      const failed = database.transact('x', async (t) => {
        await t.get(counters, 'n')
        t.put(counters, 'n', { value: 1 })
        throw new RangeError('full')
      })
      assert.instance(await failed.catch((e: unknown) => e), RangeError)
      assert.is(await database.get(counters, 'n'), undefined)
    }),
  )

  rule('shows a transaction its own writes', () =>
    withStore(async (store) => {
      const database = databaseOf(store)
      await database.transact('x', async (t) => {
        t.put(counters, 'a', { value: 1 })
        t.put(counters, 'b', { value: 1 })
      })
      const seen = await database.transact('x', async (t) => {
        t.put(counters, 'b', { value: 2 })
        t.put(counters, 'c', { value: 3 })
        t.delete(counters, 'a')
        return [
          await t.get(counters, 'a'),
          await t.list(counters),
          await t.list(counters, { limit: 1 }),
        ]
      })
      const b = { id: 'b', value: { value: 2 } }
      assert.equal(seen, [undefined, [b, { id: 'c', value: { value: 3 } }], [b]])
    }),
  )

  rule('names the key of a record that is not what its schema says', () =>
    withStore(async (store) => {
      await put(store, { 'counter:bad': '{"value":"one"}' })
      const error = await databaseOf(store)
        .get(counters, 'bad')
        .catch((e: unknown) => e)
      assert.instance(error, StoreError)
      assert.match(String(error), 'counter:bad')
    }),
  )

  rule('has after reopening all that was durable, and goes on with greater versions', async () => {
    const place = await engine.place()
    const before = await openWrite(engine, place)
    await using store = await engine.open(place)
    assert.is(text(await store.get('kept')), 'yes')
    await put(store, { kept: 'again' })
    assert.ok(((await store.get('kept'))?.version ?? 0n) > before)
  })

  rule.run()
}

async function openWrite(engine: Engine, place: string): Promise<bigint> {
  await using store = await engine.open(place)
  await put(store, { kept: 'yes' })
  return (await store.get('kept'))?.version ?? 0n
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !holds(); turn++) await systemClock.sleep(10)
}
