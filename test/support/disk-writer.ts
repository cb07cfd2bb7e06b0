/** Runs on a small disk of its own: fills it, writes to a level store until that fails, makes room again, and
 *  prints as JSON what the store said and what it then holds. */
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openLevelStore } from '../../registry/store/level-store.ts'

const [disk = ''] = process.argv.slice(2)
const directory = join(disk, 'store')
/** Bytes left for the store when it begins: less than one of its logs. */
const LEFT = 1_500_000

const failures: string[] = []
const acknowledged: string[] = []
let after: unknown
{
  await using store = await openLevelStore(directory, {
    failed: (error) => void failures.push(error.message),
  })
  const { bavail, bsize } = await statfs(disk)
  await writeFile(join(disk, 'filler'), new Uint8Array(bavail * bsize - LEFT))
  for (let count = 0; failures.length === 0 && count < 100_000; count++) {
    const value = new Uint8Array(2000).map((_, at) => (at * 7919 * (count + 1)) >> 3)
    const result = await store
      .commit({ puts: [{ key: `k${count}`, value }] })
      .catch(() => undefined)
    const isDurable = result?.ok && (await result.durable.then(() => true).catch(() => false))
    if (isDurable === true) acknowledged.push(`k${count}`)
  }
  after = await store.commit({ dels: ['k0'] }).catch((error: unknown) => String(error))
}
const reopened = await openLevelStore(directory).catch((error: unknown) => String(error))
if (typeof reopened !== 'string') await reopened[Symbol.asyncDispose]()

await rm(join(disk, 'filler'))
await using store = await openLevelStore(directory)
const lost: string[] = []
for (const key of acknowledged) {
  const entry = await store.get(key)
  const count = Number(key.slice(1))
  const isWhole =
    entry?.value.length === 2000 &&
    entry.value.every((b, at) => b === (((at * 7919 * (count + 1)) >> 3) & 255))
  if (!isWhole) lost.push(key)
}
const again = await store.commit({ puts: [{ key: 'again', value: Uint8Array.of(1) }] })
if (again.ok) await again.durable
process.stdout.write(
  JSON.stringify({
    ...{ failures, acknowledged: acknowledged.length, after, lost, goesOn: again.ok },
    full: typeof reopened === 'string' ? reopened : 'opened',
  }),
)
