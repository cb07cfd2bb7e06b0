/** Idle: what members that have nothing to say cost, in bytes on the wire, in processor time and in memory; and how
 *  long an agent takes until all of them are configured.
 *
 *    npm run bench:idle -- --agents 10 --members 100 --seconds 300
 *    npm run bench:idle -- --agents 2 --members 1000 --ready --seconds 120
 *
 *  Real agents behind NATs of their own, first half of them, then all; the other members are enrolled and
 *  never run. With `--ready` there is no registry: the organization is made beforehand, and each agent finds all
 *  members' certificates and endpoint updates in its state directory. It is mostly alone then, with nobody to tell it
 *  anything, and seeks the others all the while. Bytes are counted at each host's link, both ways, headers of Ethernet
 *  included. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import type { LabAgent } from '../lab/agent.ts'
import { until } from '../lab/scene.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { summary } from '../statistics.ts'
import { bytesOf, cpuSecondsWithChildren, extrapolated, memoryOf } from './idle-figures.ts'
import { enrolledGround, readyGround } from './idle-ground.ts'

/** Until an agent runs, and has all members: a busy machine takes minutes for what another does in seconds. */
const PATIENCE_MS = 900_000

const options = readOptions(
  new Command('bench:idle')
    .description('Bytes, processor time and memory of members without traffic. Needs root.')
    .addOption(new Option('--agents <n>', 'that really run').default('10'))
    .addOption(new Option('--members <n>', 'of the organization, those included').default('100'))
    .addOption(new Option('--seconds <n>', 'of each of the two measurements').default('300'))
    .addOption(
      new Option(
        '--settle <n>',
        'seconds before each: peers that are off are sought for 5 min',
      ).default('330'),
    )
    .addOption(new Option('--ready', 'without a registry, all members known before').default(false))
    .addOption(new Option('--profile <folder>', "of each agent's processor time, by V8"))
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results')),
  z
    .object({
      agents: z.coerce.number().int().min(2).max(40),
      members: z.coerce.number().int().min(2).max(2000),
      seconds: z.coerce.number().int().min(10).max(86_400),
      settle: z.coerce.number().int().min(0).max(86_400),
      ready: z.boolean(),
      profile: z.string().optional(),
      out: z.string(),
    })
    .refine(({ agents, members }) => members > agents, {
      path: ['members'],
      message: 'counts those that run, too, and the hub: want more than --agents',
    }),
)
const PROFILER = new URL('profiler.ts', import.meta.url).href
const say = (line: string): void => void process.stdout.write(`${line}\n`)

interface Stage {
  readonly running: number
  /** Of each agent. */
  readonly bytesPerHour: readonly number[]
  readonly cpuPercent: readonly number[]
  readonly megabytes: readonly number[]
}

const ground = await (options.ready ? readyGround : enrolledGround)(options)
say(ground.described)
const agents: LabAgent[] = []
/** Of each agent, from its start. */
const startedMs: number[] = []
const configuredMs: number[] = []

async function startUpTo(count: number): Promise<void> {
  for (let number = agents.length + 1; number <= count; number += 1) {
    const agent = ground.agent(number)
    agents.push(agent)
    const begunMs = performance.now()
    agent.start(profiled())
    await agent.started(PATIENCE_MS)
    startedMs.push(performance.now() - begunMs)
    const others = ground.members(number) - 1
    const found = async () => (await configuredPeers(agent)) >= others
    await until(`${agent.name} has configured all members`, PATIENCE_MS, found)
    configuredMs.push(performance.now() - begunMs)
  }
}

/** A profile is taken while the agent idles, and written when it ends. */
function profiled(): readonly string[] {
  const { profile, seconds } = options
  if (profile === undefined) return []
  return ['env', `NODE_OPTIONS=--import=${PROFILER}`, `PROFILE=${profile} ${seconds}`]
}

async function configuredPeers({ host, options: { interfaceName } }: LabAgent): Promise<number> {
  const { stdout } = await host.namespace.attempt('wg', 'show', interfaceName, 'allowed-ips')
  return stdout.split('\n').filter((line) => line.includes('/')).length
}

/** Of one agent so far. */
async function used(agent: LabAgent) {
  const link = ['link', 'show', 'dev', ground.link]
  const shown = await agent.host.namespace.exec('ip', '-s', '-j', ...link)
  const pids = await agent.pids()
  const read = (what: string) => Promise.all(pids.map((pid) => ofProcess(pid, what)))
  const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0)
  return {
    bytes: bytesOf(shown),
    cpu: sum((await read('stat')).map(cpuSecondsWithChildren)),
    memory: sum((await read('status')).map(memoryOf)),
  }
}

/** Empty where the process has ended meanwhile. */
function ofProcess(pid: number, what: string): Promise<string> {
  return readFile(`/proc/${pid}/${what}`, 'utf8').catch(() => '')
}

async function measure(): Promise<Stage> {
  await sleep(options.settle * 1000)
  const before = await Promise.all(agents.map(used))
  if (options.profile !== undefined)
    for (const { process: one } of agents) one.child.kill('SIGUSR2')
  const begunMs = performance.now()
  await sleep(options.seconds * 1000)
  const after = await Promise.all(agents.map(used))
  const hours = (performance.now() - begunMs) / 3_600_000
  const each = after.map(({ bytes, cpu }, index) => ({
    bytes: bytes - (before[index]?.bytes ?? 0),
    cpu: cpu - (before[index]?.cpu ?? 0),
  }))
  return {
    running: agents.length + ground.others,
    bytesPerHour: each.map(({ bytes }) => bytes / hours),
    cpuPercent: each.map(({ cpu }) => (cpu / (hours * 3600)) * 100),
    megabytes: after.map(({ memory }) => memory / 1e6),
  }
}

const stages: Stage[] = []
for (const count of [Math.ceil(options.agents / 2), options.agents]) {
  await startUpTo(count)
  say(
    `${count + ground.others} run; ${options.settle} s to settle, ${options.seconds} s to measure`,
  )
  const stage = await measure()
  stages.push(stage)
  say(rowOf(stage).join('  '))
}
const head = [
  'MEMBERS RUNNING',
  'KB/H EACH, MEDIAN',
  'MOST',
  'CPU % OF A CORE, MEDIAN',
  'MOST',
  'MB',
]
say(`\n${columns(head, stages.map(rowOf))}`)
const [started, configured] = [summary(startedMs), summary(configuredMs)]
say(
  `\nfrom its start to a tunnel, median ${inSeconds(started.p50)} (most ${inSeconds(started.max)}); until all ${options.members - 1} others are configured with their addresses, ${inSeconds(configured.p50)} (most ${inSeconds(configured.max)})`,
)
const points = stages.map(
  ({ running, bytesPerHour }) => [running, summary(bytesPerHour).p50] as const,
)
const all = extrapolated(points, options.members)
say(
  `if all ${options.members} ran, by the line through these two (an extrapolation, not a measurement): ${(all / 1000).toFixed(0)} kB an hour each, ${((all * 24) / 1e6).toFixed(1)} MB a day; ${machine()}`,
)
await mkdir(options.out, { recursive: true })
const found = {
  machine: machine(),
  ...options,
  ...{ startedMs, configuredMs, stages, extrapolatedBytesPerHour: all },
}
await writeFile(join(options.out, 'idle.json'), JSON.stringify(found, undefined, 1))
await ground.stop()
process.exit(0)

function rowOf({ running, bytesPerHour, cpuPercent, megabytes }: Stage): readonly string[] {
  return [
    `${running} of ${options.members}`,
    (summary(bytesPerHour).p50 / 1000).toFixed(0),
    (summary(bytesPerHour).max / 1000).toFixed(0),
    summary(cpuPercent).p50.toFixed(2),
    summary(cpuPercent).max.toFixed(2),
    summary(megabytes).p50.toFixed(0),
  ]
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
