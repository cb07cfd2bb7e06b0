/** Convergence: how long an endpoint update and a moved /32 take to reach everybody, and what it costs.
 *
 *    npm run simulate:convergence -- --agents 1000
 *
 *  Virtual time, seeded: the same arguments print the same figures. Compared with real libp2p nodes. */
import { mkdir, writeFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../agent/columns.ts'
import { type Calibration, calibrate } from './calibration.ts'
import { cumulativePlot } from './plot.ts'
import { summary } from './statistics.ts'
import type { EventResult, RunResult } from './world/convergence-run.ts'
import type { LinkModel } from './world/links.ts'
import { convergenceInVirtualTime } from './world/virtual-run.ts'

/** Milliseconds a real node needs for one message, measured between processes on loopback. */
const PROCESSING_MS = 2

const NETWORKS: readonly { readonly name: string; readonly links: LinkModel }[] = [
  { name: 'city, 2-10 ms', links: { delayMs: [2, 10], loss: 0, processingMs: PROCESSING_MS } },
  {
    name: 'continent, 20-60 ms',
    links: { delayMs: [20, 60], loss: 0, processingMs: PROCESSING_MS },
  },
  {
    name: 'continent, 1 % loss',
    links: { delayMs: [20, 60], loss: 0.01, processingMs: PROCESSING_MS },
  },
  {
    name: 'continent, 5 % loss',
    links: { delayMs: [20, 60], loss: 0.05, processingMs: PROCESSING_MS },
  },
  {
    name: 'world, 60-150 ms',
    links: { delayMs: [60, 150], loss: 0.01, processingMs: PROCESSING_MS },
  },
]

const OPTIONS = z.object({
  agents: z.coerce.number().int().min(2).max(20_000),
  degree: z.coerce.number().int().min(2).max(100),
  events: z.coerce.number().int().min(1).max(100),
  seed: z.coerce.number().int().min(0),
  out: z.string(),
  calibrate: z.boolean(),
})

const program = new Command('simulate:convergence')
  .description('How long signed statements take to reach every agent, in virtual time.')
  .addOption(new Option('--agents <n>', 'agents in the organization').default('1000'))
  .addOption(new Option('--degree <n>', 'libp2p connections of an agent').default('12'))
  .addOption(new Option('--events <n>', 'statements of each kind in each network').default('5'))
  .addOption(new Option('--seed <n>', 'of all randomness').default('1'))
  .addOption(new Option('--out <folder>', 'where the JSON and the plot go').default('results'))
  .option('--no-calibrate', 'leave out the comparison with 50 real libp2p nodes')
  .parse()

const {
  agents,
  degree,
  events,
  seed,
  out,
  calibrate: wantsCalibration,
} = OPTIONS.parse(program.opts())
process.stdout.write(
  `${agents} agents, ${degree} connections each, seed ${seed}; times in ms of virtual time\n\n`,
)

function row(network: string, kind: EventResult['kind'], result: RunResult): readonly string[] {
  const chosen = result.events.filter((event) => event.kind === kind)
  const { p50, p99, max } = summary(chosen.flatMap(({ latenciesMs }) => latenciesMs))
  const mean = (pick: (event: EventResult) => number): string =>
    (chosen.reduce((sum, event) => sum + pick(event), 0) / chosen.length).toFixed(1)
  const missing = chosen.reduce((sum, event) => sum + event.missing, 0)
  return [
    network,
    kind,
    ...[p50, p99, max].map((ms) => ms.toFixed(0)),
    String(missing),
    mean((e) => e.bytesPerAgent),
    mean((e) => e.messagesPerAgent),
  ]
}

const started = performance.now()
const results: { network: string; result: RunResult }[] = []
for (const { name, links } of NETWORKS) {
  results.push({
    network: name,
    result: await convergenceInVirtualTime({ agents, degree, events, links, seed }),
  })
  process.stdout.write(
    `  ${name} done after ${((performance.now() - started) / 1000).toFixed(1)} s\n`,
  )
}
const rows = results.flatMap(({ network, result }) => [
  row(network, 'endpoint update', result),
  row(network, 'moved /32', result),
])
const header = [
  'network',
  'statement',
  'p50',
  'p99',
  'all',
  'missing',
  'bytes/agent',
  'messages/agent',
]
process.stdout.write(`\n${columns(header, rows)}\n`)
const idle = results[0]?.result.idleBytesPerSecond ?? 0
process.stdout.write(
  `\nidle: ${idle.toFixed(0)} bytes a second and agent; mesh degree ${results[0]?.result.meshDegree.toFixed(1)}\n`,
)

let calibration: Calibration | undefined
if (wantsCalibration) {
  process.stdout.write('\ncomparing with 50 real libp2p nodes on loopback ...\n')
  const links: LinkModel = { delayMs: [1, 1], loss: 0, processingMs: PROCESSING_MS }
  calibration = await calibrate(
    await convergenceInVirtualTime({ agents: 50, degree, events: 10, links, seed }),
    {
      agents: 50,
      degree,
      events: 10,
      seed,
    },
  )
  process.stdout.write(`${columns(calibration.header, calibration.rows)}\n`)
}

await mkdir(out, { recursive: true })
const series = results.flatMap(({ network, result }) =>
  (['endpoint update', 'moved /32'] as const).map((kind) => ({
    label: `${network}: ${kind}`,
    samples: result.events
      .filter((event) => event.kind === kind)
      .flatMap(({ latenciesMs }) => latenciesMs),
  })),
)
await writeFile(
  `${out}/convergence.svg`,
  cumulativePlot(
    `${agents} agents: share that believes a statement`,
    'milliseconds since it was published',
    series,
  ),
)
await writeFile(
  `${out}/convergence.json`,
  JSON.stringify(
    { agents, degree, events, seed, header, rows, calibration, results },
    undefined,
    1,
  ),
)
process.stdout.write(
  `\nwritten: ${out}/convergence.json, ${out}/convergence.svg (${((performance.now() - started) / 1000).toFixed(1)} s)\n`,
)
process.exit(0)
