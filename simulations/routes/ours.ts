/** Ours: two routers of one network behind a NAT stand by for an address, too, and lead to a second network by cables of
 *  their own; two public hosts use them. */
import type { RouteReport } from '../../agent/control/route-report.ts'
import type { LabAgent } from '../lab/agent.ts'
import type { Lab } from '../lab/lab.ts'
import { ping, untilAnswered } from '../lab/ping.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from '../lab/scene.ts'
import { type Observed, type Observer, observe } from './observed.ts'

const LAN = '192.168.2.0/24'
const SERVER = '192.168.2.12'
const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
/** The second network, and that host's address in it, which nobody probes. */
const BACK = '10.50.0.0/24'
const BEHIND = '10.50.0.12'
const PREFIXES = { [ADDRESS]: PREFIX, [SERVER]: LAN, [BEHIND]: BACK }
const ROUTER = ['--advertise-cidr', LAN, BACK, '--network-router', '--probe', `icmp:${SERVER}`]
const ROUTERS: readonly string[] = ['first', 'second']
/** Pings of a user that begins anew, so that its agent knows what it uses: 6 s of them. */
const IN_USE = { count: 30, intervalMs: 200 } as const
/** Who pings: with WireGuard of the kernel or wireguard-go, which takes a source from one peer alone, and with ours. */
const USERS = { user: 'user', inside: 'our WireGuard' } as const

export interface Event {
  readonly name: string
  readonly target: keyof typeof PREFIXES
  /** Milliseconds of pings. */
  readonly lastsMs: number
  /** `from` carries the target, `to` could. */
  happen(from: LabAgent, to: LabAgent, scene: Scene): Promise<void>
  /** What makes both ready again. */
  mend?(from: LabAgent, scene: Scene): Promise<void>
  /** What is done after each round so that the next is a first failure, too, for people. */
  readonly anew?: string
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
const restart = async (agents: readonly LabAgent[]): Promise<void> => {
  await Promise.all(agents.map((agent) => agent.stop()))
  await Promise.all(agents.map(live))
}
const usersOf = (scene: Scene): readonly LabAgent[] =>
  Object.keys(USERS).map((name) => scene.agent(name))
/** The cable between a router and the second network. */
const cable = ({ lab }: Scene, { name }: LabAgent, way: 'down' | 'up'): Promise<string> =>
  lab.host(2, 2).namespace.exec('ip', 'link', 'set', `back${ROUTERS.indexOf(name)}`, way)
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
    mend: async (from, scene) => {
      await blackhole(from, 'delete')
      await restart(usersOf(scene))
    },
    anew: 'the target is mended, and both users’ agents are started anew',
  },
  {
    ...{ name: 'cable pulled', target: BEHIND, lastsMs: 10_000 },
    happen: async (from, _to, scene) => void (await cable(scene, from, 'down')),
    mend: async (from, scene) => {
      await cable(scene, from, 'up')
      await restart([from])
    },
    anew: 'the cable is mended, and that router’s agent is started anew',
  },
  {
    ...{ name: 'router killed', target: SERVER, lastsMs: 10_000 },
    happen: die,
    mend: live,
  },
]

async function prepare(lab: Lab): Promise<void> {
  const { namespace: server } = lab.host(2, 2)
  await server.batch('ip', [
    'link add back type bridge',
    'link set back up',
    `address add ${BEHIND}/24 dev back`,
  ])
  for (const index of ROUTERS.keys()) {
    const { namespace: router } = lab.host(2, index)
    await server.batch('ip', [
      `link add back${index} type veth peer name eth1 netns ${router.name}`,
      `link set back${index} up master back`,
    ])
    await router.batch('ip', ['link set eth1 up', `address add 10.50.0.1${index}/24 dev eth1`])
  }
}

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
    ...{ narrate, prepare },
  })
  for (const name of ROUTERS) {
    const agent = scene.agent(name)
    await scene.grantPrefixes(name, [LAN, BACK, PREFIX])
    await until(`${name} may stand by`, 120_000, async () => {
      const stand = await agent.nexctl('route', 'advertise', PREFIX, '--standby')
      return stand.status === 0
    })
  }
  await told(scene.agent('first'), 'route', 'advertise', PREFIX)
  return scene
}

/** What each user sees of the event, once all of them use the same device. Throws where they don't use the other one
 *  then. */
export async function measureOurs(scene: Scene, event: Event): Promise<readonly Observed[]> {
  const users = usersOf(scene)
  for (const { host } of users) await untilAnswered(host.namespace, event.target, 120_000)
  if (event.anew !== undefined)
    await Promise.all(users.map(({ host }) => ping(host.namespace, event.target, IN_USE)))
  const holder = await allUse('the same device', event, users, ({ claims }) => {
    return event.anew === undefined || claims.filter(isReady).length === 2
  })
  const from = scene.agent(holder)
  const to = scene.agent(from.name === 'first' ? 'second' : 'first')
  const observers = Object.entries(USERS).map(
    ([name, label]): Observer => ({
      label: label === 'user' ? event.name : `${event.name}, ${label}`,
      namespace: scene.agent(name).host.namespace,
    }),
  )
  const seen = await observe(observers, event, () => event.happen(from, to, scene))
  await allUse(to.name, event, users, (route) => route.holder === to.name)
  await event.mend?.(from, scene)
  return seen
}

const isReady = ({ state, health }: RouteReport['claims'][number]): boolean =>
  state === 'active' && health === 'up'

/** Resolves with the device that all users use, when what each knows of the event's prefix is so. */
async function allUse(
  what: string,
  { target }: Event,
  users: readonly LabAgent[],
  isSo: (route: RouteReport) => boolean,
): Promise<string> {
  const prefix = PREFIXES[target]
  let holder = ''
  await until(`all use ${what} for ${prefix}`, 120_000, async () => {
    const all = await Promise.all(users.map((user) => user.routes()))
    const routes = all.map((each) => each.find((route) => route.prefix === prefix))
    holder = routes[0]?.holder ?? ''
    return holder !== '' && routes.every((route) => route?.holder === holder && isSo(route))
  })
  return holder
}
