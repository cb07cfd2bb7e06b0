import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openLevelStore } from '../../../registry/store/level-store.ts'
import { StoreError } from '../../../registry/store/store.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { type Engine, storeContract } from './contract.ts'
import { limitsContract } from './contract-limits.ts'

const root = await mkdtemp(join(tmpdir(), 'nexodus-level-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
let places = 0
const place = async () => join(root, String(places++))

const engine: Engine = { name: 'level', place, open: (directory) => openLevelStore(directory) }
storeContract(engine)
limitsContract(engine)

const rule = suite('level store')

rule('has every acknowledged write after the process was killed while writing', async () => {
  const directory = await place()
  const script = fileURLToPath(new URL('../../support/store-writer.ts', import.meta.url))
  const writer = spawn(process.execPath, [script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  writer.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
    if (printed.length > 20_000) writer.kill('SIGKILL')
  })
  await once(writer, 'close')
  const acknowledged = printed.split('\n').slice(0, -1)
  await using store = await openLevelStore(directory)
  const missing: string[] = []
  for (const key of acknowledged) if ((await store.get(key)) === undefined) missing.push(key)
  assert.equal(missing, [])
  assert.ok(acknowledged.length > 1000, `only ${acknowledged.length} writes before the kill`)
})

rule('puts concurrent commits on disk in few synced batches', async () => {
  await using store = await openLevelStore(await place())
  let batches = 0
  store.watch('', () => void batches++)
  const commits = Array.from({ length: 500 }, (_, i) =>
    store.commit({ puts: [{ key: `k${i}`, value: new Uint8Array(1) }] }),
  )
  for (const commit of await Promise.all(commits)) if (commit.ok) await commit.durable
  assert.ok(batches > 0 && batches < 20, `${batches} batches`)
})

rule('says so when another process has the directory open', async () => {
  const directory = await place()
  await using _first = await openLevelStore(directory)
  const error = await openLevelStore(directory).catch((e: unknown) => e)
  assert.instance(error, StoreError)
  assert.match(String(error), 'another registry is using it')
})

rule('says so when the directory is corrupt', async () => {
  const directory = await place()
  await (await openLevelStore(directory))[Symbol.asyncDispose]()
  for (const name of await readdir(directory)) {
    if (name.startsWith('MANIFEST')) await writeFile(join(directory, name), 'not a manifest')
  }
  const error = await openLevelStore(directory).catch((e: unknown) => e)
  assert.instance(error, StoreError)
  assert.match(String(error), /corrupt/i)
})

rule('accepts nothing more after a batch has failed', async () => {
  const directory = await place()
  let failed: StoreError | undefined
  const store = await openLevelStore(directory, {
    failed(error) {
      failed = error
    },
  })
  // A file in the way of LevelDB's next log makes the batch that needs it fail.
  await rm(directory, { recursive: true })
  await writeFile(directory, '')
  for (let i = 0; i < 40 && failed === undefined; i++) {
    const value = new Uint8Array(400 * 1024).map((_, at) => (at * 7919 * (i + 1)) >> 3)
    const result = await store.commit({ puts: [{ key: `k${i}`, value }] }).catch(() => undefined)
    if (result?.ok) await result.durable.catch(() => undefined)
    await systemClock.sleep(1)
  }
  assert.instance(failed, StoreError)
  const error = await store
    .commit({ puts: [{ key: 'a', value: new Uint8Array(1) }] })
    .catch((e: unknown) => e)
  assert.is(error, failed)
  assert.instance(await store.get('a').catch((e: unknown) => e), StoreError)
})

rule('ends what was accepted before it closes', async () => {
  const directory = await place()
  const store = await openLevelStore(directory)
  const result = await store.commit({ puts: [{ key: 'a', value: new Uint8Array(1) }] })
  await store[Symbol.asyncDispose]()
  if (result.ok) await result.durable
  await using again = await openLevelStore(directory)
  assert.ok(await again.get('a'))
  assert.instance(await store.get('a').catch((e: unknown) => e), StoreError)
})

rule.run()
