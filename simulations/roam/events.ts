/** What happens to a pair that is connected, or tries to be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Field, hostOf, type MemberName, type Network } from '../products/product.ts'

export interface RoamEvent {
  readonly name: string
  /** As pairs.ts names them. */
  readonly pair: string
  /** The hosts whose echoes are watched, both ways. */
  readonly ends: readonly [MemberName, MemberName]
  /** Is it tried with the server dead, too? */
  readonly hasDeadVariant: boolean
  /** Does it need a hub that can die? */
  readonly needsHub: boolean
  /** Members that run before. */
  readonly running: readonly MemberName[]
  /** Resolves when it has happened: time counts from then. */
  happen(field: Field, network: Network): Promise<void>
}

/** Links stay down this long. */
const DOWN_MS = 5000
/** From the death of what is central to the restart: everybody has noticed. */
const DEAD_MS = 3000
/** Site of `a`, and of `b`: the hub is at the first. */
const [SITE_A, SITE_B] = [2, 3]

const COMMON = {
  pair: 'port+port',
  ends: ['a', 'b'],
  hasDeadVariant: true,
  needsHub: false,
  running: ['a', 'b'],
} as const

/** @param sleepMs longer than WireGuard's sessions live (180 s), to be of use */
export function roamEvents(sleepMs: number): readonly RoamEvent[] {
  return [
    { ...COMMON, name: 'public address of A changes', pair: 'port+public', happen: renumberA },
    { ...COMMON, name: 'public address of A changes', happen: renumberA },
    {
      ...COMMON,
      name: 'public addresses of both change',
      happen: async ({ lab }) => {
        await Promise.all([lab.renumber(SITE_A), lab.renumber(SITE_B)])
      },
    },
    {
      ...COMMON,
      name: 'host A moves',
      happen: (field) => field.lab.moveHost(hostOf(field, 'a')),
    },
    { ...COMMON, name: 'NAT of A forgets', happen: ({ lab }) => lab.flush(SITE_A) },
    {
      ...COMMON,
      name: 'NAT of A forgets',
      pair: 'symm+public',
      happen: ({ lab }) => lab.flush(SITE_A),
    },
    { ...COMMON, name: 'link of A down 5 s, then up', happen: unplugA },
    {
      ...COMMON,
      name: `A sleeps ${Math.round(sleepMs / 1000)} s, then wakes`,
      happen: (field, network) => sleepA(field, network, sleepMs),
    },
    ...relayEvents(),
    ...restartEvents(),
  ]
}

/** Those whose names contain one of the parts. Throws where a part is in none. */
export function eventsNamed(events: readonly RoamEvent[], parts: string): readonly RoamEvent[] {
  const wanted = parts.split(',').map((part) => part.trim().toLowerCase())
  const isOf = ({ name }: RoamEvent, part: string): boolean => name.toLowerCase().includes(part)
  for (const part of wanted) {
    if (events.some((event) => isOf(event, part))) continue
    const names = [...new Set(events.map(({ name }) => name))]
    throw new Error(`no event "${part}" (${names.join('; ')})`)
  }
  return events.filter((event) => wanted.some((part) => isOf(event, part)))
}

async function renumberA({ lab }: Field): Promise<void> {
  await lab.renumber(SITE_A)
}

async function unplugA(field: Field): Promise<void> {
  const host = hostOf(field, 'a')
  await field.lab.cable(false, host)
  await sleep(DOWN_MS)
  await field.lab.cable(true, host)
}

/** Its daemons stand still, and its NAT has forgotten it when they go on. */
async function sleepA({ lab }: Field, network: Network, sleepMs: number): Promise<void> {
  const pids = await network.processes('a')
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  await sleep(sleepMs)
  await lab.flush(SITE_A)
  for (const pid of pids) process.kill(pid, 'SIGCONT')
}

/** Neither side can do without a relay, and there are two; one of them is in use. */
function relayEvents(): readonly RoamEvent[] {
  const relayed = { ...COMMON, pair: 'symm+symm', hasDeadVariant: false, needsHub: true }
  return [
    {
      ...relayed,
      name: 'relay killed (the server)',
      happen: (_, network) => network.killServer(),
    },
    { ...relayed, name: 'relay killed (the hub)', happen: (_, network) => network.killHub() },
  ]
}

/** With hub and server dead. */
function restartEvents(): readonly RoamEvent[] {
  const dead = { ...COMMON, hasDeadVariant: false, needsHub: true }
  return [
    {
      ...dead,
      name: 'all servers dead: A restarts',
      happen: async (_, network) => {
        await killAll(network)
        await network.stop('a')
        network.start('a')
      },
    },
    {
      ...dead,
      name: 'all servers dead: A and B restart',
      happen: async (_, network) => {
        await killAll(network)
        await Promise.all([network.stop('a'), network.stop('b')])
        network.start('a')
        network.start('b')
      },
    },
    {
      ...dead,
      name: 'all servers dead: C meets B for the first time',
      ends: ['c', 'b'],
      happen: async (_, network) => {
        await killAll(network)
        network.start('c')
      },
    },
  ]
}

async function killAll(network: Network): Promise<void> {
  await Promise.all([network.killServer(), network.killHub()])
  await sleep(DEAD_MS)
}
