/** A process that writes to a level store until it is killed, printing each key once it is durable. */
import { openLevelStore } from '../../registry/store/level-store.ts'

const [directory = ''] = process.argv.slice(2)
await using store = await openLevelStore(directory)

async function write(lane: number): Promise<never> {
  for (let count = 0; ; count++) {
    const key = `${lane}/${count}`
    const result = await store.commit({ puts: [{ key, value: new Uint8Array(200) }] })
    if (result.ok) await result.durable
    process.stdout.write(`${key}\n`)
  }
}
await Promise.all(Array.from({ length: 8 }, (_, lane) => write(lane)))
