/** Rivals: an address that goes from one host to another with other people's daemons, by what their manuals offer. None
 *  follows by itself: the user's own settings are changed with nebula and `wg set`, so that this is one user's figure. Both
 *  holders have the address and may send from it all the while, which is the best case. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { run } from '../lab/namespace.ts'
import { untilAnswered } from '../lab/ping.ts'
import { openField, type PairField } from '../matrix/field.ts'
import { innerAddress } from '../products/daemons.ts'
import { nebula } from '../products/nebula.ts'
import { hostOf, type Network, type Product } from '../products/product.ts'
import { tinc } from '../products/tinc.ts'
import { wireguardStaggered } from '../products/wireguard.ts'
import { type Observed, observe } from './observed.ts'

const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
const LASTS_MS = 3000

type Holder = 'b' | 'c'

export interface Rival {
  readonly product: Product
  /** Of its row. */
  readonly label: string
  /** The interface at a holder. */
  device(field: PairField, holder: Holder): string
  /** Before anybody runs. */
  prepare(field: PairField): Promise<void>
  move(field: PairField, network: Network, to: Holder): Promise<void>
}

async function reload(network: Network, member: 'a' | Holder): Promise<void> {
  const [pid] = await network.processes(member)
  if (pid === undefined) throw new Error(`${member} does not run`)
  process.kill(pid, 'SIGHUP')
}

const SETTINGS = z.looseObject({ tun: z.looseObject({}) })

async function routeBy(field: PairField, holder: Holder): Promise<void> {
  const file = join(field.lab.folder, 'nebula-a.yml')
  const settings = SETTINGS.parse(JSON.parse(await readFile(file, 'utf8')))
  const route = { route: PREFIX, via: innerAddress(holder) }
  const tun = { ...settings.tun, unsafe_routes: [route] }
  await writeFile(file, JSON.stringify({ ...settings, tun }, undefined, 1))
}

/** Its certificates name what a host may send from: both have the address in theirs. */
async function grant({ shared }: PairField, holder: Holder): Promise<void> {
  const file = (end: string): string => join(shared, 'nebula', end)
  for (const end of ['crt', 'key']) await rm(file(`${holder}.${end}`))
  await run('nebula-cert', [
    ...['sign', '-name', holder, '-ip', `${innerAddress(holder)}/24`, '-subnets', PREFIX],
    ...['-ca-crt', file('ca.crt'), '-ca-key', file('ca.key')],
    ...['-out-crt', file(`${holder}.crt`), '-out-key', file(`${holder}.key`)],
  ])
}

async function setSubnets({ lab }: PairField, holder: Holder, isHeld: boolean): Promise<void> {
  const file = join(lab.folder, `tinc-${holder}`, 'hosts', holder)
  const lines = (await readFile(file, 'utf8')).split('\n')
  const others = lines.filter((line) => line !== `Subnet = ${PREFIX}`)
  await writeFile(file, [...(isHeld ? [`Subnet = ${PREFIX}`] : []), ...others].join('\n'))
}

const other = (holder: Holder): Holder => (holder === 'b' ? 'c' : 'b')
const wireGuardDevice = (field: PairField, member: 'a' | Holder): string =>
  `${field.lab.prefix}w${member}`

export const RIVALS: readonly Rival[] = [
  {
    product: nebula,
    label: 'moved with nebula: unsafe_routes and SIGHUP at the user',
    device: () => 'nebula1',
    prepare: async (field) => {
      for (const holder of ['b', 'c'] as const) await grant(field, holder)
      await routeBy(field, 'b')
    },
    move: async (field, network, to) => {
      await routeBy(field, to)
      await reload(network, 'a')
    },
  },
  {
    product: tinc,
    label: 'moved with tinc: Subnet and SIGHUP at both holders',
    device: () => 'tinc0',
    prepare: (field) => setSubnets(field, 'b', true),
    move: async (field, network, to) => {
      for (const [holder, isHeld] of [
        [to, true],
        [other(to), false],
      ] as const) {
        await setSubnets(field, holder, isHeld)
        await reload(network, holder)
      }
    },
  },
  {
    product: wireguardStaggered,
    label: 'moved with wg set at the user, by hand',
    device: wireGuardDevice,
    prepare: async () => undefined,
    move: async (field, _network, to) => {
      const device = wireGuardDevice(field, 'a')
      const { namespace } = hostOf(field, 'a')
      const peers = (await namespace.exec('wg', 'show', device, 'allowed-ips')).split('\n')
      const peer = peers.find((line) => line.includes(`${innerAddress(to)}/32`))?.split('\t')[0]
      if (peer === undefined) throw new Error(`${device} has no peer for ${to}`)
      const ips = `${innerAddress(to)}/32,${PREFIX}`
      await namespace.exec('wg', 'set', device, 'peer', peer, 'allowed-ips', ips)
      await namespace.exec('ip', 'route', 'replace', PREFIX, 'dev', device)
    },
  },
]

/** Moves the address to and fro. @param tell hears of each round */
export async function measureRival(
  rival: Rival,
  { rounds, shared }: { readonly rounds: number; readonly shared: string },
  tell: (seen: Observed) => void,
): Promise<void> {
  const pair = { name: 'public+port', kinds: ['public', 'port'] as const, isOneSite: false }
  using field = await openField(pair, { shared, third: 'port' })
  const network = await rival.product.open(field)
  try {
    await rival.prepare(field)
    for (const member of ['a', 'b', 'c'] as const) network.start(member)
    const user = hostOf(field, 'a').namespace
    for (const holder of ['b', 'c'] as const) {
      await untilAnswered(user, innerAddress(holder), 120_000)
      const device = rival.device(field, holder)
      await hostOf(field, holder).namespace.exec('ip', 'address', 'add', PREFIX, 'dev', device)
    }
    if (rival.product === tinc) await user.exec('ip', 'route', 'add', PREFIX, 'dev', 'tinc0')
    if (rival.product === wireguardStaggered) await rival.move(field, network, 'b')
    await untilAnswered(user, ADDRESS, 120_000)
    let holder: Holder = 'b'
    for (let round = 0; round < rounds; round += 1) {
      const to = other(holder)
      const event = { target: ADDRESS, lastsMs: LASTS_MS }
      const [seen] = await observe([{ label: rival.label, namespace: user }], event, () =>
        rival.move(field, network, to),
      )
      if (seen !== undefined) tell(seen)
      holder = to
    }
  } finally {
    await network.close()
  }
}
