/** Routes that move and fail: how long a third host's pings go unanswered, and how many are lost.
 *
 *    npm run lab:routes -- --rounds 100 --events hand-over,drained
 *
 *  Two routers of one network behind a NAT stand by for an address, too; a public host pings, one echo every 10 ms, over
 *  40 ms of round trip. Each event happens `--rounds` times. Needs root. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../agent/columns.ts'
import type { LabAgent } from './lab/agent.ts'
import { type Pings, ping, untilAnswered } from './lab/ping.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from './lab/scene.ts'
import { readOptions } from './options.ts'
import { summary } from './statistics.ts'

const LAN = '192.168.2.0/24'
const SERVER = '192.168.2.12'
const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
const ROUTER = ['--advertise-cidr', LAN, '--network-router', '--probe', `icmp:${SERVER}`]
/** Milliseconds from one echo to the next, and before the event. */
const [INTERVAL_MS, BEFORE_MS] = [10, 1000]

interface Event {
  readonly name: string
  readonly target: string
  /** Milliseconds of pings. */
  readonly lastsMs: number
  /** `from` carries the target, `to` could. */
  happen(from: LabAgent, to: LabAgent): Promise<void>
  /** What makes both ready again. */
  mend?(from: LabAgent): Promise<void>
}

const told = async (agent: LabAgent, ...words: readonly string[]): Promise<void> => {
  const { status, stderr } = await agent.nexctl(...words)
  if (status !== 0) throw new Error(`${agent.name}: nexctl ${words.join(' ')}: ${stderr}`)
}
const die = async (agent: LabAgent): Promise<void> => {
  for (const pid of await agent.pids()) process.kill(pid, 'SIGKILL')
  await agent.stop('SIGKILL').catch(() => undefined)
}
const live = async (agent: LabAgent): Promise<void> => {
  agent.start()
  await agent.started()
}
const blackhole = (agent: LabAgent, verb: string): Promise<string> =>
  agent.host.namespace.exec('ip', 'route', verb, 'blackhole', `${SERVER}/32`)

const EVENTS: readonly Event[] = [
  {
    ...{ name: 'moved', target: ADDRESS, lastsMs: 3000 },
    happen: (_from, to) => told(to, 'route', 'advertise', PREFIX),
  },
  {
    ...{ name: 'hand-over', target: ADDRESS, lastsMs: 6000 },
    happen: (from, to) => told(from, 'route', 'move', PREFIX, '--to', to.name),
  },
  {
    ...{ name: 'holder killed', target: ADDRESS, lastsMs: 10_000 },
    happen: die,
    mend: live,
  },
  {
    ...{ name: 'drained', target: SERVER, lastsMs: 6000 },
    happen: (from) => told(from, 'router', 'drain'),
    mend: (from) => told(from, 'router', 'resume'),
  },
  {
    ...{ name: 'target lost', target: SERVER, lastsMs: 10_000 },
    happen: async (from) => void (await blackhole(from, 'add')),
    mend: async (from) => void (await blackhole(from, 'delete')),
  },
  {
    ...{ name: 'router killed', target: SERVER, lastsMs: 10_000 },
    happen: die,
    mend: live,
  },
]

const options = readOptions(
  new Command('lab:routes')
    .description('Milliseconds of silence, and pings lost, when routes move and fail. Needs root.')
    .addOption(new Option('--rounds <n>', 'of each event').default('3'))
    .addOption(
      new Option('--events <list>', EVENTS.map(({ name }) => name).join(', ')).default('', 'all'),
    )
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results')),
  z.object({
    rounds: z.coerce.number().int().min(1).max(1000),
    events: z.string(),
    out: z.string(),
  }),
)

const names = options.events.split(',').filter((name) => name !== '')
const chosen = EVENTS.filter(
  ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
)

async function ready(): Promise<Scene> {
  const site = { delayMs: ACCESS_DELAY_MS }
  const scene = await startScene({
    sites: [
      { kind: 'public', ...site },
      { kind: 'port', hosts: 3, ...site },
      { kind: 'public', ...site },
    ],
    registrySite: 3,
    agents: {
      user: { site: 1 },
      first: { site: 2, index: 0, extra: ROUTER },
      second: { site: 2, index: 1, extra: ROUTER },
    },
    enrol: 'key',
    narrate: (line) => process.stdout.write(`${line}\n`),
  })
  for (const name of ['first', 'second']) {
    const agent = scene.agent(name)
    await scene.grantPrefixes(name, [LAN, PREFIX])
    await until(`${name} may stand by`, 60_000, async () => {
      const stand = await agent.nexctl('route', 'advertise', PREFIX, '--standby')
      return stand.status === 0
    })
  }
  await told(scene.agent('first'), 'route', 'advertise', PREFIX)
  return scene
}

async function measure(scene: Scene, event: Event): Promise<Pings> {
  const user = scene.agent('user')
  const prefix = event.target === ADDRESS ? PREFIX : LAN
  await untilAnswered(user.host.namespace, event.target, 60_000)
  const route = (await user.routes()).find((each) => each.prefix === prefix)
  const from = scene.agent(route?.holder ?? '')
  const to = scene.agent(from.name === 'first' ? 'second' : 'first')
  const count = (BEFORE_MS + event.lastsMs) / INTERVAL_MS
  const pinging = ping(user.host.namespace, event.target, { count, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, BEFORE_MS))
  await event.happen(from, to)
  const pings = await pinging
  await event.mend?.(from)
  return pings
}

const scene = await ready()
const found = new Map<string, Pings[]>()
for (const event of chosen) {
  const all: Pings[] = []
  found.set(event.name, all)
  for (let round = 0; round < options.rounds; round += 1) {
    const pings = await measure(scene, event)
    all.push(pings)
    const lost = pings.sent - pings.received
    process.stdout.write(
      `${event.name}: silent for ${pings.longestSilenceMs.toFixed(0)} ms, ${lost} of ${pings.sent} lost\n`,
    )
  }
}
const rows = [...found].map(([name, all]) => {
  const silence = summary(all.map(({ longestSilenceMs }) => longestSilenceMs))
  const lost = summary(all.map(({ sent, received }) => sent - received))
  return [
    ...[name, String(all.length), silence.p50.toFixed(0), silence.max.toFixed(0)],
    ...[lost.p50.toFixed(0), lost.max.toFixed(0)],
  ]
})
const heads = ['event', 'rounds', 'silence ms, median', 'worst', 'lost, median', 'worst']
process.stdout.write(`\n${columns(heads, rows)}\n`)
await mkdir(options.out, { recursive: true })
await writeFile(
  join(options.out, 'routes.json'),
  JSON.stringify(Object.fromEntries(found), undefined, 1),
)
await scene.stop()
process.exit(0)
