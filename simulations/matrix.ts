/** Every pair of kinds of NAT, every product: does it connect, directly or not, and how soon?
 *
 *    npm run lab:matrix -- --runs 5 --products nexodus,tinc --pairs port+port,port+symm
 *
 *  A laboratory for each pair, one product after another in it. All are measured alike: the hub runs before,
 *  both members were set up before and start at once; A pings B every 50 ms, B does not ping. Links are
 *  10 ms one way: a direct round trip takes 40 ms, one by the hub 80. Needs root. */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { machine } from './machine.ts'
import { openField, type PairField } from './matrix/field.ts'
import { type Pair, parsePair, REFERENCE_PAIRS } from './matrix/pairs.ts'
import { type Result, shortcomings, summaryTable, table } from './matrix/table.ts'
import { runTrial } from './matrix/trial.ts'
import { parsed, readOptions } from './options.ts'
import { cumulativePlot } from './plot.ts'
import type { Product } from './products/product.ts'
import { PRODUCTS, parseProducts, runnable } from './products/products.ts'
import { processFolder } from './shared-folder.ts'

const OPTIONS = z.object({
  pairs: z.array(z.custom<Pair>()),
  products: z.array(z.custom<Product>()),
  runs: z.coerce.number().int().min(1).max(100),
  workers: z.coerce.number().int().min(1).max(16),
  timeout: z.coerce.number().min(5).max(300),
  overlap: z.boolean(),
  out: z.string(),
  logs: z.string().optional(),
})

const options = readOptions(
  new Command('lab:matrix')
    .description('Pairs of NATs, products side by side: success, way, times. Needs root.')
    .addOption(
      new Option('--pairs <list>', 'as port+port,samelan+port')
        .argParser(parsed((text) => text.split(',').map(parsePair)))
        .default(REFERENCE_PAIRS, `all ${REFERENCE_PAIRS.length}`),
    )
    .addOption(
      new Option('--peers, --products <list>', PRODUCTS.map(({ name }) => name).join(', '))
        .argParser(parsed(parseProducts))
        .default(PRODUCTS, 'all that are installed'),
    )
    .addOption(new Option('--runs <n>', 'of each pair and product').default('5'))
    .addOption(new Option('--workers <n>', 'laboratories at a time').default('1'))
    .addOption(new Option('--timeout <seconds>', 'until a run counts as failed').default('25'))
    .addOption(new Option('--overlap', 'every LAN has the same addresses').default(false))
    .addOption(new Option('--out <folder>', 'where JSON and SVG go').default('results'))
    .addOption(new Option('--logs <folder>', 'keep what the daemons logged, by pair')),
  OPTIONS,
)
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const products = runnable(options.products, say)
const names = products.map(({ name }) => name)
const shared = processFolder('nexodus-matrix')
const results: Result[] = []
const started = performance.now()
let done = 0

async function measure(pair: Pair, product: Product, field: PairField): Promise<void> {
  const network = await product.open(field)
  try {
    for (let run = 1; run <= options.runs; run += 1) {
      const outcome = await runTrial(pair, field, network, options.timeout * 1000)
      results.push({ product: product.name, pair: pair.name, run, ...outcome })
      for (const site of field.sites) await field.lab.flush(site)
    }
  } finally {
    await network.close()
  }
}

/** In the laboratory that is there, or in another after something in it did not end as it should. */
async function measurePair(pair: Pair): Promise<void> {
  let field: PairField | undefined
  for (const product of products) {
    if (!product.fits(pair.kinds)) continue
    try {
      field ??= await openField(pair, { overlap: options.overlap, shared })
      await measure(pair, product, field)
    } catch (error) {
      say(
        `${pair.name}, ${product.name}: ${error instanceof Error ? error.message : String(error)}`,
      )
      results.push({ product: product.name, pair: pair.name, run: 0, path: 'failed', lost: 0 })
      await end(field, pair)
      field = undefined
    }
  }
  await end(field, pair)
  done += 1
  const minutes = (performance.now() - started) / 60_000
  const left = (minutes / done) * (options.pairs.length - done)
  const lines = table([pair], names, results).split('\n')
  say(lines.slice(done === 1 ? 0 : 1).join('\n'))
  say(`  ${done} of ${options.pairs.length} pairs, ${left.toFixed(0)} min left`)
}

async function end(field: PairField | undefined, pair: Pair): Promise<void> {
  if (field === undefined) return
  const { logs } = options
  if (logs !== undefined) {
    const filter = (source: string): boolean =>
      source === field.lab.folder || (source.endsWith('.log') && !source.includes('probe-'))
    await cp(field.lab.folder, join(logs, pair.name), { recursive: true, filter })
  }
  field[Symbol.dispose]()
}

const queue = [...options.pairs]
const worker = async (): Promise<void> => {
  for (let pair = queue.shift(); pair !== undefined; pair = queue.shift()) await measurePair(pair)
}
await Promise.all(Array.from({ length: options.workers }, worker))

say(`\n${table(options.pairs, names, results)}`)
say(`\n${summaryTable(options.pairs, names, results)}`)
for (const name of names.slice(0, 1))
  for (const line of shortcomings(options.pairs, name, results)) say(`${name}: ${line}`)
say(`\n${options.runs} runs, ${options.workers} at a time; ${machine()}`)
await mkdir(options.out, { recursive: true })
await writeFile(
  join(options.out, 'matrix.json'),
  JSON.stringify(
    { machine: machine(), runs: options.runs, products: names, results },
    undefined,
    1,
  ),
)
const series = products.map(({ name }) => ({
  label: name,
  samples: results.flatMap((each) =>
    each.product === name && each.firstMs !== undefined ? [each.firstMs] : [],
  ),
}))
await writeFile(
  join(options.out, 'matrix.svg'),
  cumulativePlot(
    'From the start of both daemons to the first answered ping',
    'milliseconds',
    series,
  ),
)
process.exit(0)
