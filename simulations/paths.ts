/** Paths: two agents behind random NATs on a virtual internet, with delay, loss, roaming and restarts. The agent's
 *  own path finding, in virtual time, seeded: the same seed gives the same run.
 *
 *    npm run simulate:paths -- --runs 1000
 *    npm run simulate:paths -- --seed 42 --runs 1      one run, told in full
 *
 *  Ends with other than 0 where a run did not keep to the bounds. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../agent/columns.ts'
import { summary } from './statistics.ts'
import { faultsOf } from './world/paths/judgement.ts'
import { type EventResult, type PathRunResult, runPaths } from './world/paths/path-run.ts'
import { PATH_EVENTS, scenarioOf } from './world/paths/scenario.ts'

const { runs, seed, out } = z
  .object({
    runs: z.coerce.number().int().min(1).max(1_000_000),
    seed: z.coerce.number().int().min(0),
    out: z.string(),
  })
  .parse(
    new Command('simulate:paths')
      .description('How two agents keep a path through whatever happens, in virtual time.')
      .addOption(new Option('--runs <n>', 'seeds, from the first on').default('1000'))
      .addOption(new Option('--seed <n>', 'the first').default('1'))
      .addOption(new Option('--out <folder>', 'where the JSON goes').default('results'))
      .parse()
      .opts(),
  )

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function narrate({ scenario, events }: PathRunResult): void {
  const { kinds, isSameSite, delaysMs, loss } = scenario
  say(
    `seed ${scenario.seed}: ${kinds.join(' - ')}${isSameSite ? ' (one site)' : ''}, links of ${delaysMs.join(', ')} ms, ${loss * 100} % loss`,
  )
  for (const event of events) {
    say(
      `  ${event.kind}: pings flow after ${event.recoveredMs.toFixed(0)} ms, longest silence ${event.longestSilenceMs.toFixed(0)} ms`,
    )
    for (const { host, atMs, path } of event.changes) say(`    ${atMs.toFixed(0)} ${host} ${path}`)
  }
}

const events: EventResult[] = []
const failed: { seed: number; faults: readonly string[] }[] = []
for (let each = seed; each < seed + runs; each += 1) {
  const result = await runPaths(scenarioOf(each))
  events.push(...result.events)
  const faults = faultsOf(result)
  if (runs === 1) narrate(result)
  for (const fault of faults) say(`seed ${each}: ${fault}`)
  if (faults.length > 0) failed.push({ seed: each, faults })
}

const rows = PATH_EVENTS.flatMap((kind) => {
  const of = events.filter((event) => event.kind === kind)
  if (of.length === 0) return []
  const recovered = summary(of.map(({ recoveredMs }) => recoveredMs))
  const silence = summary(of.map(({ longestSilenceMs }) => longestSilenceMs))
  return [
    [
      kind,
      String(of.length),
      ...[recovered.p50, recovered.p99, recovered.max, silence.max].map((ms) => ms.toFixed(0)),
      String(Math.max(...of.map(({ switches }) => switches))),
    ],
  ]
})
say('')
say(
  columns(
    ['EVENT', 'TIMES', 'PINGS FLOW, P50', 'P99', 'WORST', 'LONGEST SILENCE', 'MOST MOVES'],
    rows,
  ),
)
say(`${runs} runs, ${failed.length} outside the bounds; milliseconds of virtual time`)
for (const { seed: each } of failed.slice(0, 20))
  say(`npm run simulate:paths -- --seed ${each} --runs 1`)
await mkdir(out, { recursive: true })
await writeFile(join(out, 'paths.json'), JSON.stringify({ runs, seed, rows, failed }, undefined, 1))
process.exitCode = failed.length > 0 ? 1 : 0
