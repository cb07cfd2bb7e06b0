/** Ours: two routers of one network behind a NAT stand by for an address, too; two public hosts use both. */
import type { LabAgent } from '../lab/agent.ts'
import { untilAnswered } from '../lab/ping.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from '../lab/scene.ts'
import { type Observed, type Observer, observe } from './observed.ts'

const LAN = '192.168.2.0/24'
const SERVER = '192.168.2.12'
const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
const ROUTER = ['--advertise-cidr', LAN, '--network-router', '--probe', `icmp:${SERVER}`]
/** Who pings: with WireGuard of the kernel or wireguard-go, which takes a source from one peer alone, and with ours. */
const USERS = { user: 'user', inside: 'our WireGuard' } as const

export interface Event {
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

export const EVENTS: readonly Event[] = [
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

export async function readyScene(narrate: (line: string) => void): Promise<Scene> {
  const site = { delayMs: ACCESS_DELAY_MS }
  const scene = await startScene({
    sites: [
      { kind: 'public', ...site },
      { kind: 'port', hosts: 3, ...site },
      { kind: 'public', ...site },
      { kind: 'public', ...site },
    ],
    registrySite: 3,
    agents: {
      user: { site: 1 },
      inside: { site: 4, extra: ['--backend', 'tun'] },
      first: { site: 2, index: 0, extra: ROUTER },
      second: { site: 2, index: 1, extra: ROUTER },
    },
    enrol: 'key',
    narrate,
  })
  for (const name of ['first', 'second']) {
    const agent = scene.agent(name)
    await scene.grantPrefixes(name, [LAN, PREFIX])
    await until(`${name} may stand by`, 120_000, async () => {
      const stand = await agent.nexctl('route', 'advertise', PREFIX, '--standby')
      return stand.status === 0
    })
  }
  await told(scene.agent('first'), 'route', 'advertise', PREFIX)
  return scene
}

/** What each user sees of the event, once all of them use the same device. */
export async function measureOurs(scene: Scene, event: Event): Promise<readonly Observed[]> {
  const users = Object.keys(USERS).map((name) => scene.agent(name))
  const prefix = event.target === ADDRESS ? PREFIX : LAN
  for (const user of users) await untilAnswered(user.host.namespace, event.target, 120_000)
  let holder = ''
  await until(`all use the same device for ${prefix}`, 120_000, async () => {
    const seen = await Promise.all(users.map((user) => holderOf(user, prefix)))
    holder = seen[0] ?? ''
    return holder !== '' && seen.every((each) => each === holder)
  })
  const from = scene.agent(holder)
  const to = scene.agent(from.name === 'first' ? 'second' : 'first')
  const observers = Object.entries(USERS).map(
    ([name, label]): Observer => ({
      label: label === 'user' ? event.name : `${event.name}, ${label}`,
      namespace: scene.agent(name).host.namespace,
    }),
  )
  const seen = await observe(observers, event, () => event.happen(from, to))
  await event.mend?.(from)
  return seen
}

async function holderOf(user: LabAgent, prefix: string): Promise<string | undefined> {
  return (await user.routes()).find((each) => each.prefix === prefix)?.holder
}
