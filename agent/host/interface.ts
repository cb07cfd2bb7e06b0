/** Interface: the tunnel's network interface as the host sees it: its owner, MTU, addresses and routes. */
import { addressFamily, type Prefix, parsePrefix } from '../../protocol/address.ts'
import {
  fieldsOf,
  numberField,
  optionalText,
  recordsOf,
  textField,
  textsOf,
} from '../json-fields.ts'
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

/** What the interface has now. */
export interface InterfaceState {
  /** Bytes. */
  readonly mtu: number
  readonly isUp: boolean
  readonly addresses: readonly Prefix[]
  readonly routes: readonly Route[]
}

/** Just made and brought up: the kernel chose an MTU. */
export const NEW_INTERFACE: InterfaceState = { mtu: 0, isUp: true, addresses: [], routes: [] }

/** Interface names as Linux takes them (dev_valid_name), and safe in a file name and a batch. */
export function isInterfaceName(text: string): boolean {
  return /^(?!\.{1,2}$)[A-Za-z0-9_=+.-]{1,15}$/.test(text)
}

/** Every interface of the namespace. */
export async function readLinks(commands: Commands): Promise<readonly Link[]> {
  const text = await commands.run('ip', ['-json', '-details', 'link', 'show'])
  return recordsOf(JSON.parse(text || '[]'), 'links').map((fields) => ({
    name: textField(fields, 'ifname'),
    kind: optionalText(fieldsOf(fields['linkinfo'] ?? {}, 'linkinfo'), 'info_kind') ?? '',
    alias: optionalText(fields, 'ifalias') ?? '',
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
 *  that is no more left it. Returns their names, and the interface that has `name` now. */
export async function removeLeftoverInterfaces(
  commands: Commands,
  name: string,
): Promise<{ readonly removed: readonly string[]; readonly holder: Link | undefined }> {
  const links = await readLinks(commands)
  const leftovers = links.filter((link) => {
    const owner = ownerIn(link.alias)
    return owner === 'gone' || (owner === 'elsewhere' && link.name === name)
  })
  for (const link of leftovers) await deleteInterface(commands, link.name)
  return { removed: leftovers.map((link) => link.name), holder: heldBy(name, links, leftovers) }
}

function heldBy(
  name: string,
  links: readonly Link[],
  leftovers: readonly Link[],
): Link | undefined {
  return links.find((link) => link.name === name && !leftovers.includes(link))
}

/** Makes the interface so, changing only what differs; repeated, it changes nothing. What is added comes
 *  before what is removed, so an address that moves between here and a peer is never in neither place.
 *  Throws CommandError. @param current what it has, where that is known; else it is read */
export async function configureInterface(
  commands: Commands,
  name: string,
  wanted: InterfaceConfig,
  current?: InterfaceState,
): Promise<ConfiguredInterface> {
  const { mtu, isUp, addresses, routes } = current ?? (await readInterface(commands, name))
  const addressing = addressCommands(name, addresses, [...new Set(wanted.addresses)])
  const routing = routeCommands(name, routes, wanted.routes)
  const isSet = mtu === wanted.mtu && isUp
  return batch(commands, [
    ...(isSet ? [] : [`link set dev ${name} mtu ${wanted.mtu} up`]),
    ...addressing.add,
    ...routing.set,
    ...routing.remove,
    ...addressing.remove,
  ])
}

async function readInterface(commands: Commands, name: string): Promise<InterfaceState> {
  const [text, routes] = await Promise.all([
    commands.run('ip', ['-json', 'address', 'show', 'dev', name]),
    readRoutes(commands, name),
  ])
  const [found = {}] = recordsOf(JSON.parse(text), 'addresses')
  return {
    mtu: found['mtu'] === undefined ? 0 : numberField(found, 'mtu'),
    isUp: textsOf(found['flags'] ?? [], 'flags').includes('UP'),
    addresses: recordsOf(found['addr_info'] ?? [], 'addr_info').flatMap((each) => {
      const local = optionalText(each, 'local')
      if (textField(each, 'scope') !== 'global' || local === undefined) return []
      return [`${parsePrefix(local).split('/')[0]}/${numberField(each, 'prefixlen')}` as Prefix]
    }),
    routes,
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

/** One process for all lines; a line that fails does not stop those after it. IPv6 is off where only lines
 *  of IPv6 failed, and said so: disabled by sysctl (EACCES), by a boot option or not built in. */
async function batch(commands: Commands, lines: readonly string[]): Promise<ConfiguredInterface> {
  if (lines.length === 0) return { hasIpv6: true }
  try {
    await commands.run('ip', ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n` })
    return { hasIpv6: true }
  } catch (error) {
    if (error instanceof CommandError && isIpv6Off(error.stderr, lines)) return { hasIpv6: false }
    throw error
  }
}

/** @param stderr of `ip -batch`: what is wrong, and in the next line `Command failed -:<line>` */
function isIpv6Off(stderr: string, lines: readonly string[]): boolean {
  const faults = [...stderr.matchAll(/^(.*)\nCommand failed -:(\d+)$/gm)]
  return (
    faults.length > 0 &&
    faults.every(
      ([, reason = '', line]) =>
        /IPv6 is disabled|Permission denied|not supported/i.test(reason) &&
        lines[Number(line) - 1]?.includes(':'),
    )
  )
}
