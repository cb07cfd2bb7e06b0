/** Crash: a registry on level is killed by SIGKILL in the middle of enrolments, again and again, in one state
 *  directory. Every enrolment that it answered must be in its store, and no address be given twice.
 *
 *    npm run simulate:crash -- --enrolments 1000 --times 100
 *
 *  Ends with other than 0 where one was lost or given twice. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../agent/columns.ts'
import { randomBytes } from '../crypto/random.ts'
import { crashRun, type Life } from './crash/crash-run.ts'
import { machine } from './machine.ts'
import { readOptions } from './options.ts'

const { enrolments, times } = readOptions(
  new Command('simulate:crash')
    .description('A registry killed in the middle of enrolments, and what it still knows.')
    .addOption(new Option('--enrolments <n>', 'begun in each life').default('1000'))
    .addOption(new Option('--times <n>', 'kills').default('100')),
  z.object({
    enrolments: z.coerce.number().int().min(1).max(1_000_000),
    times: z.coerce.number().int().min(1).max(10_000),
  }),
)

const stateDirectory = await mkdtemp(join(tmpdir(), 'nexodus-crash-'))
process.once('SIGINT', () => process.exit(130))
const share = () => (randomBytes(1)[0] ?? 0) / 256
const lives: Life[] = []
try {
  for await (const life of crashRun({ stateDirectory, enrolments, times, share })) {
    lives.push(life)
    const { acknowledged, cutOff, stored, lost, twice } = life
    process.stdout.write(
      `kill ${lives.length}: ${acknowledged} acknowledged, ${cutOff} cut off; ${stored} stored, ${lost} lost, ${twice} twice\n`,
    )
  }
} finally {
  await rm(stateDirectory, { recursive: true, force: true })
}
const sum = (of: (life: Life) => number) => lives.reduce((total, life) => total + of(life), 0)
const [lost, twice] = [sum((life) => life.lost), sum((life) => life.twice)]
const header = ['kills', 'acknowledged', 'cut off', 'stored', 'lost', 'twice']
const acknowledged = sum((life) => life.acknowledged)
const figures = [lives.length, acknowledged, sum((life) => life.cutOff), lives.at(-1)?.stored ?? 0]
const row = [...figures, lost, twice].map(String)
process.stdout.write(`\n${columns(header, [row])}\n${machine()}\n`)
process.exitCode = lost + twice === 0 ? 0 : 1
