/** Interface: the tunnel's network interface as the host sees it: its owner, MTU, addresses and routes. */
import { z } from 'zod'
import { addressFamily, type Prefix, parsePrefix } from '../../protocol/address.ts'
import { ownerIn, ownerMark } from './owner.ts'
import { type Route, readRoutes, routeCommands } from './routes.ts'
import { CommandError, type Commands } from './run.ts'

/** The whole wanted state. */
export interface InterfaceConfig {
  /** Bytes. */
  readonly mtu: number
  readonly addresses: readonly Prefix[]
  readonly routes: readonly Route[]
}

export interface Link {
  readonly name: string
  /** `wireguard`, `tun`, …; empty for a physical one. */
  readonly kind: string
  /** ifalias(8), where our owner's mark is. */
  readonly alias: string
}

export interface ConfiguredInterface {
  /** False where the host has IPv6 switched off: then IPv6 addresses and routes were left out. */
  readonly hasIpv6: boolean
}

const LINKS = z.array(
  z.object({
    ifname: z.string(),
    ifalias: z.string().optional(),
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
  }),
)
const ADDRESSES = z.array(
  z.object({
    mtu: z.number(),
    flags: z.array(z.string()),
    addr_info: z.array(
      z.object({ local: z.string().optional(), prefixlen: z.number(), scope: z.string() }),
    ),
  }),
)

/** Interface names as Linux takes them (dev_valid_name), and safe in a file name and a batch. */
export function isInterfaceName(text: string): boolean {
  return /^(?!\.{1,2}$)[A-Za-z0-9_=+.-]{1,15}$/.test(text)
}

/** Every interface of the namespace. */
export async function readLinks(commands: Commands): Promise<readonly Link[]> {
  const text = await commands.run('ip', ['-json', '-details', 'link', 'show'])
  return LINKS.parse(JSON.parse(text || '[]')).map(({ ifname, ifalias = '', linkinfo }) => ({
    name: ifname,
    kind: linkinfo?.info_kind ?? '',
    alias: ifalias,
  }))
}

/** Writes this process's mark on it and brings it up. Throws CommandError. */
export async function claimInterface(commands: Commands, name: string): Promise<void> {
  await commands.run('ip', ['link', 'set', 'dev', name, 'alias', ownerMark(), 'up'])
}

export async function deleteInterface(commands: Commands, name: string): Promise<void> {
  await commands.run('ip', ['link', 'delete', 'dev', name])
}

/** Removes interfaces that agents left when they died, with their routes; also `name` where a container
 *  that is no more left it. Returns the names. */
export async function removeLeftoverInterfaces(
  commands: Commands,
  name: string,
): Promise<readonly string[]> {
  const links = await readLinks(commands)
  const leftovers = links.filter((link) => {
    const owner = ownerIn(link.alias)
    return owner === 'gone' || (owner === 'elsewhere' && link.name === name)
  })
  for (const link of leftovers) await deleteInterface(commands, link.name)
  return leftovers.map((link) => link.name)
}

/** Makes the interface so, changing only what differs; repeated, it changes nothing. What is added comes
 *  before what is removed, so an address that moves between here and a peer is never in neither place.
 *  Throws CommandError. */
export async function configureInterface(
  commands: Commands,
  name: string,
  wanted: InterfaceConfig,
): Promise<ConfiguredInterface> {
  const [current, routes] = await Promise.all([
    readAddresses(commands, name),
    readRoutes(commands, name),
  ])
  const addresses = addressCommands(name, current.addresses, [...new Set(wanted.addresses)])
  const routing = routeCommands(name, routes, wanted.routes)
  if (current.mtu !== wanted.mtu || !current.isUp) {
    await commands.run('ip', ['link', 'set', 'dev', name, 'mtu', `${wanted.mtu}`, 'up'])
  }
  const lines = [...addresses.add, ...routing.set, ...routing.remove, ...addresses.remove]
  const isIpv6 = (line: string): boolean => line.includes(':')
  const [hasIpv6] = await Promise.all([
    batchIpv6(commands, lines.filter(isIpv6)),
    batch(
      commands,
      lines.filter((line) => !isIpv6(line)),
    ),
  ])
  return { hasIpv6 }
}

async function readAddresses(
  commands: Commands,
  name: string,
): Promise<{ mtu: number; isUp: boolean; addresses: readonly Prefix[] }> {
  const text = await commands.run('ip', ['-json', 'address', 'show', 'dev', name])
  const [found] = ADDRESSES.parse(JSON.parse(text))
  return {
    mtu: found?.mtu ?? 0,
    isUp: found?.flags.includes('UP') ?? false,
    addresses: (found?.addr_info ?? [])
      .filter(({ scope, local }) => scope === 'global' && local !== undefined)
      .map(
        ({ local = '', prefixlen }) => `${parsePrefix(local).split('/')[0]}/${prefixlen}` as Prefix,
      ),
  }
}

function addressCommands(
  name: string,
  current: readonly Prefix[],
  wanted: readonly Prefix[],
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  // No duplicate address detection: nobody else on a tunnel can answer it, and it delays the first packet.
  const options = (address: Prefix): string => (addressFamily(address) === 6 ? ' nodad' : '')
  return {
    add: wanted
      .filter((address) => !current.includes(address))
      .map((address) => `address add ${address} dev ${name}${options(address)}`),
    remove: current
      .filter((address) => !wanted.includes(address))
      .map((address) => `address delete ${address} dev ${name}`),
  }
}

/** One process for all lines; a line that fails does not stop those after it. */
async function batch(commands: Commands, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  await commands.run('ip', ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

/** False where IPv6 is off: disabled by sysctl (EACCES), by a boot option or not built in. */
async function batchIpv6(commands: Commands, lines: readonly string[]): Promise<boolean> {
  try {
    await batch(commands, lines)
    return true
  } catch (error) {
    const isOff =
      error instanceof CommandError &&
      /IPv6 is disabled|Permission denied|not supported/i.test(error.stderr)
    if (isOff) return false
    throw error
  }
}
