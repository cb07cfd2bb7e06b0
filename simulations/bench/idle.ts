/** Idle: what members that have nothing to say cost, in bytes on the wire and in processor time.
 *
 *    npm run bench:idle -- --agents 10 --members 100 --seconds 300
 *
 *  Real agents behind NATs of their own, first half of them, then all; the other members are enrolled and
 *  never run. Bytes are counted at each host's link, both ways, headers of Ethernet included. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import type { LabAgent } from '../lab/agent.ts'
import { cpuSeconds } from '../lab/processes.ts'
import { ACCESS_DELAY_MS, startScene, until } from '../lab/scene.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { summary } from '../statistics.ts'
import { bytesOf, extrapolated } from './idle-figures.ts'

const options = readOptions(
  new Command('bench:idle')
    .description('Bytes and processor time of members without traffic. Needs root.')
    .addOption(new Option('--agents <n>', 'that really run').default('10'))
    .addOption(new Option('--members <n>', 'of the organization, those included').default('100'))
    .addOption(new Option('--seconds <n>', 'of each of the two measurements').default('300'))
    .addOption(new Option('--settle <n>', 'seconds before each').default('60'))
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results')),
  z
    .object({
      agents: z.coerce.number().int().min(2).max(40),
      members: z.coerce.number().int().min(2).max(2000),
      seconds: z.coerce.number().int().min(10).max(86_400),
      settle: z.coerce.number().int().min(0).max(86_400),
      out: z.string(),
    })
    .refine(({ agents, members }) => members > agents, {
      path: ['members'],
      message: 'counts those that run, too, and the hub: want more than --agents',
    }),
)
const GHOSTS = new URL('ghosts.ts', import.meta.url).pathname
const say = (line: string): void => void process.stdout.write(`${line}\n`)

interface Stage {
  readonly running: number
  /** Of each agent. */
  readonly bytesPerHour: readonly number[]
  readonly cpuPercent: readonly number[]
}

const registrySite = options.agents + 2
const scene = await startScene({
  sites: Array.from({ length: registrySite }, (_, index) => ({
    kind: index === 0 || index === registrySite - 1 ? ('public' as const) : ('port' as const),
    delayMs: ACCESS_DELAY_MS,
  })),
  registrySite,
  agents: { hub: { site: 1 } },
  enrol: 'key',
})
const key = await scene.registrationKey()
const ghosts = options.members - options.agents - 1
await scene.lab.core.exec(process.execPath, GHOSTS, scene.registryUrl, key, String(ghosts))
say(
  `${options.members} members: a public hub, ${options.agents} behind NATs, ${ghosts} that never run`,
)
const agents: LabAgent[] = []

async function startUpTo(count: number): Promise<void> {
  for (let number = agents.length + 1; number <= count; number += 1) {
    const agent = scene.addAgent(`agent-${number}`, number + 1, 0, key)
    agents.push(agent)
    agent.start()
    await agent.started(120_000)
  }
  const last = agents.at(-1)
  await until('all members are configured', 120_000, async () => {
    const configured = await last?.host.namespace.exec(
      'wg',
      'show',
      last.options.interfaceName,
      'peers',
    )
    return configured !== undefined && configured.trim().split('\n').length >= options.members - 1
  })
}

/** Of one agent so far. */
async function used(agent: LabAgent): Promise<{ bytes: number; cpu: number }> {
  const shown = await agent.host.namespace.exec('ip', '-s', '-j', 'link', 'show', 'dev', 'eth0')
  const cpu = (await agent.pids()).map(cpuSeconds)
  return { bytes: bytesOf(shown), cpu: cpu.reduce((sum, each) => sum + each, 0) }
}

async function measure(): Promise<Stage> {
  await sleep(options.settle * 1000)
  const before = await Promise.all(agents.map(used))
  const begunMs = performance.now()
  await sleep(options.seconds * 1000)
  const after = await Promise.all(agents.map(used))
  const hours = (performance.now() - begunMs) / 3_600_000
  const each = after.map(({ bytes, cpu }, index) => ({
    bytes: bytes - (before[index]?.bytes ?? 0),
    cpu: cpu - (before[index]?.cpu ?? 0),
  }))
  return {
    running: agents.length + 1,
    bytesPerHour: each.map(({ bytes }) => bytes / hours),
    cpuPercent: each.map(({ cpu }) => (cpu / (hours * 3600)) * 100),
  }
}

const stages: Stage[] = []
for (const count of [Math.ceil(options.agents / 2), options.agents]) {
  await startUpTo(count)
  say(`${count + 1} run; ${options.settle} s to settle, ${options.seconds} s to measure`)
  stages.push(await measure())
}
const rows = stages.map(({ running, bytesPerHour, cpuPercent }) => [
  `${running} of ${options.members}`,
  (summary(bytesPerHour).p50 / 1000).toFixed(0),
  (summary(bytesPerHour).max / 1000).toFixed(0),
  summary(cpuPercent).p50.toFixed(2),
  summary(cpuPercent).max.toFixed(2),
])
const head = ['MEMBERS RUNNING', 'KB/H EACH, MEDIAN', 'MOST', 'CPU % OF A CORE, MEDIAN', 'MOST']
say(`\n${columns(head, rows)}`)
const points = stages.map(
  ({ running, bytesPerHour }) => [running, summary(bytesPerHour).p50] as const,
)
const all = extrapolated(points, options.members)
say(
  `\nif all ${options.members} ran, by the line through these two (an extrapolation, not a measurement): ${(all / 1000).toFixed(0)} kB an hour each, ${((all * 24) / 1e6).toFixed(1)} MB a day; ${machine()}`,
)
await mkdir(options.out, { recursive: true })
const found = { machine: machine(), ...options, stages, extrapolatedBytesPerHour: all }
await writeFile(join(options.out, 'idle.json'), JSON.stringify(found, undefined, 1))
await scene.stop()
process.exit(0)
