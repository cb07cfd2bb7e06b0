/** Pairs that are connected, what happens to them, and the seconds until echoes flow both ways again.
 *
 *    npm run lab:roam -- --rounds 5 --products nexodus,tinc --events address,restart
 *    npm run lab:roam -- --switches 200           planned changes of path under 100 packets a second, alone
 *
 *  Echoes every 50 ms in both directions; links are 10 ms one way. The server is the registry, or whatever
 *  a product has in its place. Needs root. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { machine } from './machine.ts'
import { openField, type PairField } from './matrix/field.ts'
import { parsePair } from './matrix/pairs.ts'
import { parsed, readOptions } from './options.ts'
import { cumulativePlot } from './plot.ts'
import type { Network, Product } from './products/product.ts'
import { PRODUCTS, parseProducts, runnable } from './products/products.ts'
import { eventsNamed, type RoamEvent, roamEvents } from './roam/events.ts'
import { measureSwitches } from './roam/switches.ts'
import { type Recovery, recoverySummary, recoveryTable } from './roam/table.ts'
import { runEvent } from './roam/trial.ts'
import { processFolder } from './shared-folder.ts'
import { summary } from './statistics.ts'

const options = readOptions(
  new Command('lab:roam')
    .description('Seconds from an event until echoes flow both ways again. Needs root.')
    .addOption(
      new Option('--peers, --products <list>', PRODUCTS.map(({ name }) => name).join(', '))
        .argParser(parsed(parseProducts))
        .default(PRODUCTS, 'all that are installed'),
    )
    .addOption(
      new Option('--events <list>', 'parts of their names, with commas')
        .argParser(parsed((text) => eventsNamed(roamEvents(0), text) && text))
        .default('', 'all'),
    )
    .addOption(new Option('--rounds <n>', 'of each event').default('3'))
    .addOption(new Option('--workers <n>', 'laboratories at a time').default('1'))
    .addOption(new Option('--timeout <seconds>', 'until it counts as never').default('130'))
    .addOption(new Option('--sleep <seconds>', 'that a host sleeps').default('200'))
    .addOption(new Option('--switches <n>', 'planned changes of path, instead').default('0'))
    .addOption(new Option('--out <folder>', 'where JSON and SVG go').default('results')),
  z.object({
    products: z.array(z.custom<Product>()),
    events: z.string(),
    rounds: z.coerce.number().int().min(1).max(100),
    workers: z.coerce.number().int().min(1).max(16),
    timeout: z.coerce.number().min(5).max(600),
    sleep: z.coerce.number().min(1).max(3600),
    switches: z.coerce.number().int().min(0).max(10_000),
    out: z.string(),
  }),
)

const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function planned(): Promise<void> {
  const switches = await measureSwitches(options.switches, say)
  const followed = switches.flatMap(({ tookMs }) => (tookMs === undefined ? [] : [tookMs]))
  const lost = summary(switches.map((each) => each.lost))
  const took = summary(followed)
  const total = switches.reduce((sum, each) => sum + each.lost, 0)
  const sent = switches.reduce((sum, each) => sum + each.sent, 0)
  say(
    `\n${switches.length} planned changes, ${followed.length} followed (median ${took.p50.toFixed(0)} ms, longest ${took.max.toFixed(0)}); packets lost in each: median ${lost.p50}, p99 ${lost.p99}, most ${lost.max}; ${total} of ${sent} in all; ${machine()}`,
  )
  await save('switches.json', { machine: machine(), switches })
}

async function save(file: string, content: unknown): Promise<void> {
  await mkdir(options.out, { recursive: true })
  const text = typeof content === 'string' ? content : JSON.stringify(content, undefined, 1)
  await writeFile(join(options.out, file), text)
}

const recoveries: Recovery[] = []
const shared = processFolder('nexodus-roam')

async function measure(event: RoamEvent, product: Product, field: PairField, network: Network) {
  const servers =
    event.hasDeadVariant && network.hasHub ? (['alive', 'dead'] as const) : (['alive'] as const)
  for (const server of servers) {
    for (let run = 1; run <= options.rounds; run += 1) {
      const timeoutMs = options.timeout * 1000
      const isDead = server === 'dead'
      const { recoveredMs } = await runEvent(event, field, network, { isDead, timeoutMs })
      // Where all servers die the event itself says so.
      const known = event.needsHub ? 'dead' : server
      recoveries.push({
        product: product.name,
        event: event.name,
        pair: event.pair,
        server: known,
        run,
        recoveredMs,
      })
      const text = recoveredMs === undefined ? 'never' : `${(recoveredMs / 1000).toFixed(2)} s`
      say(`${product.name}, ${event.pair}, ${event.name}, server ${known}, round ${run}: ${text}`)
    }
  }
}

/** Events of one pair and product share a laboratory, or what is left of it after a failure. */
async function measureAll(pair: string, product: Product): Promise<void> {
  const parsedPair = parsePair(pair)
  if (!product.fits(parsedPair.kinds)) return
  const fields: PairField[] = []
  let network: Network | undefined
  for (const event of events.filter((each) => each.pair === pair)) {
    try {
      const field = fields[0] ?? (await openField(parsedPair, { shared, third: 'port' }))
      fields[0] = field
      network ??= await product.open(field)
      if (event.needsHub && !network.hasHub) continue
      await measure(event, product, field, network)
    } catch (error) {
      say(
        `${product.name}, ${pair}, ${event.name}: ${error instanceof Error ? error.message : String(error)}`,
      )
      const failed = { product: product.name, event: event.name, pair, run: 0 }
      recoveries.push({
        ...failed,
        server: event.needsHub ? 'dead' : 'alive',
        recoveredMs: undefined,
      })
      fields.pop()?.[Symbol.dispose]()
      network = undefined
    }
  }
  await network?.close()
  fields.pop()?.[Symbol.dispose]()
}

if (options.switches > 0) {
  await planned()
  process.exit(0)
}
const events = eventsNamed(roamEvents(options.sleep * 1000), options.events)
const products = runnable(options.products, say)
const names = products.map(({ name }) => name)
const queue = [...new Set(events.map(({ pair }) => pair))].flatMap((pair) =>
  products.map((product) => ({ pair, product })),
)
const worker = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift())
    await measureAll(next.pair, next.product)
}
await Promise.all(Array.from({ length: options.workers }, worker))

say(`\n${recoveryTable(names, recoveries)}`)
say(`\n${recoverySummary(names, recoveries)}`)
say(`\n${options.rounds} rounds of each, ${machine()}`)
await save('roam.json', { machine: machine(), rounds: options.rounds, recoveries })
const series = names.map((name) => ({
  label: name,
  samples: recoveries.flatMap(({ product, recoveredMs }) =>
    product === name && recoveredMs !== undefined ? [recoveredMs] : [],
  ),
}))
await save(
  'roam.svg',
  cumulativePlot('From an event until echoes flow both ways again', 'milliseconds', series),
)
process.exit(0)
