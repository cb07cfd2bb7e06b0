// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { openEtcdStore } from '../../../registry/store/etcd-store.ts'
import { parseStoreLocation } from '../../../registry/store/location.ts'
import { type Store, StoreError } from '../../../registry/store/store.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { needs } from '../../support/needs.ts'
import { type Engine, storeContract } from './contract.ts'
import { limitsContract } from './contract-limits.ts'

needs('etcd')

const cluster = await startEtcd(1)
let places = 0
const place = async () => cluster.location(`place-${places++}`)
const logged: string[] = []
const parts = {
  clock: systemClock,
  randomBytes,
  log: (_level: string, event: string) => void logged.push(event),
}

async function open(text: string): Promise<Store> {
  const location = parseStoreLocation(text)
  if (location.kind !== 'etcd') throw new Error(`no etcd: ${text}`)
  return openEtcdStore(location, parts)
}

const engine: Engine = { name: 'etcd', place, open }
storeContract(engine)
limitsContract(engine)

const rule = suite('etcd store')
const value = new Uint8Array([1])

async function raw(path: string, body: object): Promise<unknown> {
  const [member] = cluster.members
  const response = await fetch(`http://${member?.endpoint}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  return response.json()
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, at) => `n:${String(at).padStart(5, '0')}`)

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 600 && !holds(); turn++) await systemClock.sleep(10)
}

rule('commits more records than etcd takes in one transaction, all or none', async () => {
  await using store = await open(await place())
  const keys = numbered(1000)
  const first = await store.commit({ puts: keys.map((key) => ({ key, value })) })
  assert.is(first.ok, true)
  const checks: { key: string; version: bigint }[] = []
  for await (const { key, version } of store.list({ gte: 'n:', lt: 'n:\u007f' })) {
    checks.push({ key, version })
  }
  assert.is(checks.length, 1000)
  const stale = checks.map((check, at) => (at === 700 ? { ...check, version: 1n } : check))
  assert.equal(await store.commit({ checks: stale, dels: keys }), { ok: false })
  assert.equal(await store.commit({ checks: stale }), { ok: false })
  assert.is((await store.commit({ checks })).ok, true)
  assert.is((await store.commit({ checks, dels: keys })).ok, true)
  for await (const { key } of store.list({ gte: '!', lt: '\u007f' })) assert.unreachable(key)
})

rule('lets small commits wait for a large one, and loses none of either', async () => {
  const at = await place()
  await using store = await open(at)
  await using other = await open(at)
  const keys = numbered(200)
  await store.commit({ puts: keys.map((key) => ({ key, value })) })
  const large = async (by: Store) => {
    for (;;) {
      const checks: { key: string; version: bigint }[] = []
      for await (const { key, version } of by.list({ gte: 'n:', lt: 'n:\u007f' })) {
        checks.push({ key, version })
      }
      const [last] = checks
      const count = ((await by.get('large'))?.value[0] ?? 0) + 1
      const known = (await by.get('large'))?.version ?? 0n
      const result = await by.commit({
        checks: [...checks, { key: 'large', version: known }],
        puts: [
          { key: 'large', value: Uint8Array.of(count) },
          { key: last?.key ?? '', value },
        ],
      })
      if (result.ok) return
    }
  }
  const small = async (by: Store, name: string) => {
    for (let n = 0; n < 20; n++) {
      const result = await by.commit({ puts: [{ key: `small:${name}:${n}`, value }] })
      assert.ok(result.ok)
    }
  }
  await Promise.all([large(store), small(store, 'a'), small(other, 'b'), large(other)])
  assert.equal((await store.get('large'))?.value, Uint8Array.of(2))
  let count = 0
  for await (const _ of store.list({ gte: 'small:', lt: 'small:\u007f' })) count += 1
  assert.is(count, 40)
})

rule('breaks the lock of a process that died with it', async () => {
  const at = await place()
  const prefix = at.slice(at.lastIndexOf('/') + 1)
  await raw('/v3/kv/put', { key: btoa(`${prefix}/\u0001lock`), value: btoa('a dead one') })
  let ahead = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + ahead }
  const location = parseStoreLocation(at)
  if (location.kind !== 'etcd') throw new Error('no etcd')
  await using store = await openEtcdStore(location, { ...parts, clock })
  let isDone = false
  const commit = store.commit({ puts: [{ key: 'a', value }] }).then(() => {
    isDone = true
  })
  await systemClock.sleep(300)
  assert.is(isDone, false)
  ahead = 30_000
  await commit
  assert.ok(await store.get('a'))
})

rule('lists one snapshot over all its pages', async () => {
  await using store = await open(await place())
  const keys = numbered(350)
  await store.commit({ puts: keys.map((key) => ({ key, value })) })
  for (const reverse of [false, true]) {
    const seen: string[] = []
    for await (const { key } of store.list({ gte: 'n:', lt: 'n:\u007f', reverse })) {
      if (seen.length === 0) {
        await store.commit({ dels: ['n:00200'], puts: [{ key: 'n:00150!', value }] })
      }
      seen.push(key)
    }
    if (reverse) seen.reverse()
    assert.equal(seen, reverse ? [...keys, 'n:00150!'].sort().filter((k) => k !== 'n:00200') : keys)
  }
})

rule('says so where etcd was compacted while it listed', async () => {
  await using store = await open(await place())
  await store.commit({ puts: numbered(150).map((key) => ({ key, value })) })
  const listed = (async () => {
    let isFirst = true
    for await (const _ of store.list({ gte: 'n:', lt: 'n:\u007f' })) {
      if (!isFirst) continue
      isFirst = false
      const later = await store.commit({ puts: [{ key: 'z', value }] })
      if (later.ok) await raw('/v3/kv/compaction', { revision: String(later.revision) })
    }
  })()
  assert.match(String(await listed.catch((e: unknown) => e)), 'compacted while records were listed')
})

rule('tells a watcher what another process writes', async () => {
  const at = await place()
  await using store = await open(at)
  await using other = await open(at)
  const seen: string[] = []
  store.watch('w:', (keys) => void seen.push(...keys))
  await other.commit({
    puts: [
      { key: 'w:1', value },
      { key: 'v:1', value },
    ],
  })
  await until(() => seen.length >= 1)
  // Of changes that etcd tells at once a key comes once: the next is made when the first was told.
  await other.commit({ dels: ['w:1'] })
  await until(() => seen.length >= 2)
  assert.equal(seen, ['w:1', 'w:1'])
})

rule('tells a watcher that anything may have changed, where etcd has forgotten', async () => {
  const at = await place()
  await using store = await open(at)
  await using other = await open(at)
  await other.commit({ puts: [{ key: 'w:1', value }] })
  const later = await other.commit({ puts: [{ key: 'w:2', value }] })
  if (later.ok) await raw('/v3/kv/compaction', { revision: String(later.revision) })
  const seen: (readonly string[])[] = []
  store.watch('w:', (keys) => void seen.push(keys))
  await until(() => seen.length >= 2)
  assert.equal(seen, [[], ['w:2']])
})

rule('keeps stores under different prefixes apart', async () => {
  await using store = await open(cluster.location('apart'))
  await using other = await open(cluster.location('apart-too'))
  await store.commit({ puts: [{ key: 'a', value }] })
  assert.is(await other.get('a'), undefined)
  for await (const { key } of other.list({ gte: '!', lt: '\u007f' })) assert.unreachable(key)
})

rule('deletes what commits left of processes that ended a day ago', async () => {
  const at = await place()
  const prefix = at.slice(at.lastIndexOf('/') + 1)
  const ago = (seconds: number) => btoa(`x ${systemClock.now() - seconds}`)
  await raw('/v3/kv/put', { key: btoa(`${prefix}/\u0001lane/old/0`), value: ago(90_000) })
  await raw('/v3/kv/put', { key: btoa(`${prefix}/\u0001lane/new/0`), value: ago(1000) })
  await using _store = await open(at)
  const lanes = (await raw('/v3/kv/range', {
    key: btoa(`${prefix}/\u0001lane/`),
    range_end: btoa(`${prefix}/\u0001lane0`),
  })) as { kvs: { key: string }[] }
  assert.equal(
    lanes.kvs.map(({ key }) => atob(key)),
    [`${prefix}/\u0001lane/new/0`],
  )
})

rule('says which endpoints do not answer, and what to look at', async () => {
  let ahead = 0
  const clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + ahead,
    sleep: async () => {
      ahead += 5000
    },
  }
  const location = parseStoreLocation('etcd://127.0.0.1:1,127.0.0.1:2')
  if (location.kind !== 'etcd') throw new Error('no etcd')
  const error = await openEtcdStore(location, { ...parts, clock }).catch((e: unknown) => e)
  assert.instance(error, StoreError)
  assert.match(String(error), '127.0.0.1:1, 127.0.0.1:2')
  assert.match(String(error), 'connection refused')
  assert.match(String(error), '--store')
})

rule('says so where something else than etcd answers', async () => {
  const { createServer } = await import('node:http')
  const server = createServer((_request, response) => response.writeHead(404).end('no'))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const error = await open(`etcd://127.0.0.1:${port}`).catch((e: unknown) => e)
  server.close()
  assert.match(String(error), 'does not answer like etcd 3.4 or later (HTTP status 404)')
})

rule.after(async () => cluster[Symbol.asyncDispose]())
rule.run()
