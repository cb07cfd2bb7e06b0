import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openLevelStore } from '../../../registry/store/level-store.ts'
import { type Store, StoreError } from '../../../registry/store/store.ts'
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

/** Writes until a batch fails, for want of a file that LevelDB cannot make in the way of `directory`. */
async function writeInto(store: Store, hasFailed: () => boolean): Promise<number> {
  let durable = 0
  for (let i = 0; i < 40 && !hasFailed(); i++) {
    const value = new Uint8Array(400 * 1024).map((_, at) => (at * 7919 * (i + 1)) >> 3)
    const result = await store.commit({ puts: [{ key: `k${i}`, value }] }).catch(() => undefined)
    const isDurable = result?.ok && (await result.durable.then(() => true).catch(() => false))
    if (isDurable === true) durable = i + 1
    await systemClock.sleep(1)
  }
  return durable
}

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
  await writeInto(store, () => failed !== undefined)
  assert.instance(failed, StoreError)
  const error = await store
    .commit({ puts: [{ key: 'a', value: new Uint8Array(1) }] })
    .catch((e: unknown) => e)
  assert.is(error, failed)
  assert.instance(await store.get('a').catch((e: unknown) => e), StoreError)
})

rule('goes on by itself when it can be written again, with what it acknowledged', async () => {
  const directory = await place()
  const said: string[] = []
  const changes: (readonly string[])[] = []
  let next: (() => void) | undefined
  const after = (_ms: number, task: () => void) => {
    next = task
    return { cancel: () => undefined }
  }
  const store = await openLevelStore(directory, {
    failed: ({ message }) => void said.push(message),
    recovery: { clock: { after }, recovered: () => void said.push('recovered') },
  })
  /** Until it has gone on, or waits for another try. */
  const tryAgain = async () => {
    const [task, before] = [next, said.length]
    next = undefined
    task?.()
    while (next === undefined && said.length === before) await systemClock.sleep(5)
  }
  const away = `${directory}.away`
  await rename(directory, away)
  await writeFile(directory, '')
  const durable = await writeInto(store, () => said.length > 0)
  assert.ok(durable > 0)
  assert.match(said[0] ?? '', 'writing to the store failed')
  await tryAgain()
  assert.match(said[1] ?? '', 'the store cannot be opened again')
  // Nothing, or another one, in the place of what was there is no reason to go on.
  await rm(directory)
  await tryAgain()
  assert.match(said[2] ?? '', /cannot be opened again: .*does not exist/)
  await rm(directory, { recursive: true, force: true })
  await (await openLevelStore(directory))[Symbol.asyncDispose]()
  await tryAgain()
  assert.match(said[3] ?? '', `it ends at revision 0, but ${durable} was acknowledged`)
  assert.instance(await store.get('k0').catch((e: unknown) => e), StoreError)

  await rm(directory, { recursive: true })
  await rename(away, directory)
  store.watch('k', (keys) => void changes.push(keys))
  await tryAgain()
  assert.is(said[4], 'recovered')
  assert.equal(changes, [[]])
  for (let i = 0; i < durable; i++) assert.ok(await store.get(`k${i}`), `k${i}`)
  const again = await store.commit({ puts: [{ key: 'again', value: Uint8Array.of(1) }] })
  if (!again.ok) throw new Error('refused')
  await again.durable
  // Revisions of what failed are not given again: it may be on disk.
  assert.ok(again.revision > BigInt(durable) + 1n)
  assert.is((await store.get('again'))?.version, again.revision)
  await store[Symbol.asyncDispose]()
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
