/** Routes that move and fail: how long other hosts' pings go unanswered, and how many are lost.
 *
 *    npm run lab:routes -- --rounds 100 --events hand-over,drained --products nebula,tinc
 *
 *  Ours: two routers of two networks behind a NAT stand by for an address, too; two public hosts ping, one with WireGuard
 *  of ours. Beside it other products whose users move an address. One echo every 10 ms, 40 ms of round trip. Each event
 *  happens `--rounds` times. Needs root. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../agent/columns.ts'
import type { Pings } from './lab/ping.ts'
import { readOptions } from './options.ts'
import { runnable } from './products/products.ts'
import { AGREEMENT_HEADS, agreement, agreementRow } from './routes/agreement.ts'
import { HEADS, lostOf, type Observed, rowOf } from './routes/observed.ts'
import { EVENTS, measureOurs, readyScene } from './routes/ours.ts'
import { measureRival, RIVALS } from './routes/rivals.ts'

const RIVAL_NAMES = RIVALS.map(({ product }) => product.name)
const options = readOptions(
  new Command('lab:routes')
    .description('Milliseconds of silence, and pings lost, when routes move and fail. Needs root.')
    .addOption(new Option('--rounds <n>', 'of each event').default('3'))
    .addOption(
      new Option('--events <list>', `${EVENTS.map(({ name }) => name).join(', ')}; none`).default(
        '',
        'all',
      ),
    )
    .addOption(
      new Option('--products <list>', `${RIVAL_NAMES.join(', ')}; none`).default(
        '',
        'all there are',
      ),
    )
    .addOption(new Option('--observers <n>', 'that hear of a move; 0: none').default('100'))
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results')),
  z.object({
    rounds: z.coerce.number().int().min(1).max(1000),
    events: z.string(),
    products: z.string(),
    observers: z.coerce.number().int().min(0).max(10_000),
    out: z.string(),
  }),
)

/** Those whose names contain one of the list's. */
function chosenOf<T>(all: readonly T[], list: string, nameOf: (one: T) => string): readonly T[] {
  const names = list.split(',').filter((name) => name !== '')
  return all.filter((one) => names.length === 0 || names.some((part) => nameOf(one).includes(part)))
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const found = new Map<string, Pings[]>()
const heard = ({ label, pings }: Observed): void => {
  found.set(label, [...(found.get(label) ?? []), pings])
  const silence = pings.longestSilenceMs.toFixed(0)
  say(`${label}: silent for ${silence} ms, ${lostOf(pings)} of ${pings.sent} lost`)
}

async function ours(): Promise<void> {
  const events = chosenOf(EVENTS, options.events, ({ name }) => name)
  if (events.length === 0) return
  const scene = await readyScene(say)
  try {
    for (const event of events) {
      for (let round = 0; round < options.rounds; round += 1)
        for (const seen of await measureOurs(scene, event)) heard(seen)
    }
  } finally {
    await scene.stop()
  }
}

async function rivals(): Promise<void> {
  const chosen = chosenOf(RIVALS, options.products, ({ product }) => product.name)
  const there = runnable(
    chosen.map(({ product }) => product),
    say,
  )
  const shared = await mkdtemp(join(tmpdir(), 'nexodus-routes-'))
  try {
    for (const rival of chosen) {
      if (!there.includes(rival.product)) continue
      await measureRival(rival, { rounds: options.rounds, shared }, heard)
    }
  } finally {
    await rm(shared, { recursive: true, force: true })
  }
}

await ours()
await rivals()
const agreeing = options.observers === 0 ? [] : await agreement(options.observers, 1)
const rows = [...found].map(([label, all]) => rowOf(label, all))
if (rows.length > 0) say(`\n${columns(HEADS, rows)}`)
for (const { name, anew } of EVENTS)
  if (anew !== undefined && found.has(name))
    say(`${name}: each round is a first failure; before the next ${anew}.`)
if (agreeing.length > 0) {
  say(`\n${options.observers} observers believe that an address has moved (virtual time):`)
  say(columns(AGREEMENT_HEADS, agreeing.map(agreementRow)))
}
await mkdir(options.out, { recursive: true })
await writeFile(
  join(options.out, 'routes.json'),
  JSON.stringify({ events: Object.fromEntries(found), agreement: agreeing }, undefined, 1),
)
process.exit(0)
