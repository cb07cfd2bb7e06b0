// time limit: 300 s
/** etcd behind a line that loses requests and answers: what was acknowledged took effect, once. */
import { createServer, type IncomingMessage, request } from 'node:http'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { randomBytes } from '../../../crypto/random.ts'
import { collection } from '../../../registry/store/collection.ts'
import { openDatabase } from '../../../registry/store/database.ts'
import { openEtcdStore } from '../../../registry/store/etcd-store.ts'
import { parseStoreLocation } from '../../../registry/store/location.ts'
import { type Store, StoreError } from '../../../registry/store/store.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { needs } from '../../support/needs.ts'

needs('etcd')

const cluster = await startEtcd(1)
const [member] = cluster.members
const rule = suite('etcd over a faulty line')
const counters = collection('counter', z.object({ value: z.number() }))
const parts = { clock: systemClock, randomBytes, log: () => undefined }

type Fault = 'none' | 'request-lost' | 'answer-lost' | 'answer-cut' | 'answer-late'

/** A line to the member that does with each request as `fault` says. */
async function line(fault: (path: string) => Fault) {
  const server = createServer(async (asked, answer) => {
    const chunks: Buffer[] = []
    for await (const chunk of asked) chunks.push(chunk as Buffer)
    const what = fault(asked.url ?? '')
    if (what === 'request-lost') return void asked.socket.destroy()
    const [host = '', port = ''] = (member?.endpoint ?? '').split(':')
    const onward = request({ host, port, path: asked.url, method: 'POST' })
    onward.end(Buffer.concat(chunks))
    const back = await new Promise<IncomingMessage>((resolve, reject) => {
      onward.on('response', resolve).on('error', reject)
    })
    if (what === 'none') {
      answer.writeHead(back.statusCode ?? 0)
      return void back.pipe(answer)
    }
    const content: Buffer[] = []
    for await (const chunk of back) content.push(chunk as Buffer)
    if (what === 'answer-lost') return void asked.socket.destroy()
    if (what === 'answer-late') await systemClock.sleep(1500)
    answer.writeHead(back.statusCode ?? 0)
    if (what === 'answer-late') return void answer.end(Buffer.concat(content))
    answer.write(Buffer.concat(content).subarray(0, 20))
    await systemClock.sleep(20)
    asked.socket.destroy()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    location: (prefix: string) => `etcd://127.0.0.1:${port}/${prefix}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

async function open(text: string): Promise<Store> {
  const location = parseStoreLocation(text)
  if (location.kind !== 'etcd') throw new Error('no etcd')
  return openEtcdStore(location, parts)
}

const FAULTS: readonly Fault[] = ['request-lost', 'answer-lost', 'answer-cut', 'answer-late']

for (const kind of FAULTS) {
  rule(`counts each acknowledged increment once, where every third has its ${kind}`, async () => {
    let count = 0
    await using faulty = await line((path) =>
      path === '/v3/kv/txn' && ++count % 3 === 0 ? kind : 'none',
    )
    await using store = await open(faulty.location(kind))
    const database = openDatabase(store, parts)
    const runs = kind === 'answer-late' ? 4 : 20
    const increment = async (scope: string, times: number) => {
      for (let n = 0; n < times; n++) {
        await database.transact(scope, async (transaction) => {
          const value = ((await transaction.get(counters, 'n'))?.value ?? 0) + 1
          transaction.put(counters, 'n', { value })
        })
      }
    }
    await Promise.all([increment('a', runs), increment('b', runs)])
    assert.equal(await database.get(counters, 'n'), { value: 2 * runs })
    assert.ok(count > 2 * runs, 'there were faults')
  })
}

rule('lets no late copy of a write without checks undo a later one', async () => {
  await using store = await open(cluster.location('copies'))
  const put = (by: Store, text: string) =>
    by.commit({ puts: [{ key: 'a', value: new TextEncoder().encode(text) }] })
  await put(store, 'first')
  const lanes = (await raw('/v3/kv/range', {
    key: btoa('copies/\u0001lane/'),
    range_end: btoa('copies/\u0001lane0'),
  })) as { kvs: { key: string; mod_revision: string }[] }
  const [lane] = lanes.kvs
  await put(store, 'second')
  // What a copy of the second write's request says, arriving now.
  const copy = (await raw('/v3/kv/txn', {
    compare: [{ key: lane?.key, target: 'MOD', result: 'EQUAL', mod_revision: lane?.mod_revision }],
    success: [{ requestPut: { key: btoa('copies/a'), value: btoa('an old copy') } }],
  })) as { succeeded?: boolean }
  assert.is(copy.succeeded, undefined)
  assert.is(new TextDecoder().decode((await store.get('a'))?.value), 'second')
})

async function raw(path: string, body: object): Promise<unknown> {
  const response = await fetch(`http://${member?.endpoint}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  return response.json()
}

rule(
  'says that the outcome is not known where no answer ever comes, and goes on afterwards',
  async () => {
    let isDown = false
    await using faulty = await line((path) =>
      isDown && path === '/v3/kv/txn' ? 'request-lost' : 'none',
    )
    let ahead = 0
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + ahead }
    const location = parseStoreLocation(faulty.location('down'))
    if (location.kind !== 'etcd') throw new Error('no etcd')
    await using store = await openEtcdStore(location, { ...parts, clock })
    isDown = true
    const failed = store.commit({ puts: [{ key: 'a', value: Uint8Array.of(1) }] })
    await systemClock.sleep(200)
    ahead = 60_000
    const error = await failed.catch((e: unknown) => e)
    assert.instance(error, StoreError)
    assert.match(String(error), 'etcd cannot be used at 127.0.0.1:')
    isDown = false
    const again = await store.commit({ puts: [{ key: 'a', value: Uint8Array.of(2) }] })
    assert.is(again.ok, true)
    assert.equal((await store.get('a'))?.value, Uint8Array.of(2))
  },
)

rule('takes up a watch that broke, and misses nothing', async () => {
  const streams = new Set<() => void>()
  const server = createServer((asked, answer) => {
    const [host = '', port = ''] = (member?.endpoint ?? '').split(':')
    const onward = request({ host, port, path: asked.url, method: 'POST' }, (back) => {
      answer.writeHead(back.statusCode ?? 0)
      back.pipe(answer)
    })
    onward.on('error', () => asked.socket.destroy())
    asked.pipe(onward)
    if (asked.url === '/v3/watch') {
      streams.add(() => {
        asked.socket.destroy()
        onward.destroy()
      })
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  {
    await using store = await open(`etcd://127.0.0.1:${port}/broken`)
    await using other = await open(cluster.location('broken'))
    const seen: string[] = []
    store.watch('w:', (keys) => void seen.push(...keys))
    for (let n = 0; n < 30; n++) {
      await other.commit({ puts: [{ key: `w:${n}`, value: Uint8Array.of(n) }] })
      if (n % 10 === 5) {
        for (const cut of streams) cut()
        streams.clear()
      }
    }
    for (let turn = 0; turn < 1000 && seen.length < 30; turn++) await systemClock.sleep(10)
    assert.equal(
      seen,
      Array.from({ length: 30 }, (_, n) => `w:${n}`),
    )
  }
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

rule.after(async () => cluster[Symbol.asyncDispose]())
rule.run()
