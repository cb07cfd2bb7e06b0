/** Interface: the tunnel's network interface as the host sees it: its owner, MTU, addresses and routes. */
import type { Prefix } from '../../protocol/address.ts'
import { interfacesByIp } from './interface-by-ip.ts'
import { interfacesByNetlink } from './interface-by-netlink.ts'
import type {
  ConfiguredInterface,
  InterfaceChange,
  InterfaceState,
  InterfaceTool,
  Link,
} from './interface-tool.ts'
import { ownerIn, ownerMark } from './owner.ts'
import { type Route, routeChanges } from './routes.ts'
import type { Commands } from './run.ts'

/** The whole wanted state. */
export interface InterfaceConfig {
  /** Bytes. */
  readonly mtu: number
  readonly addresses: readonly Prefix[]
  readonly routes: readonly Route[]
}

/** Just made and brought up: the kernel chose an MTU. */
export const NEW_INTERFACE: InterfaceState = { mtu: 0, isUp: true, addresses: [], routes: [] }

/** Interface names as Linux takes them (dev_valid_name), and safe in a file name and a batch. */
export function isInterfaceName(text: string): boolean {
  return /^(?!\.{1,2}$)[A-Za-z0-9_=+.-]{1,15}$/.test(text)
}

export async function interfaceTool(commands: Commands): Promise<InterfaceTool> {
  const rtnetlink = await commands.rtnetlink?.()
  return rtnetlink === undefined ? interfacesByIp(commands) : interfacesByNetlink(rtnetlink)
}

/** Writes this process's mark on it and brings it up. Throws CommandError. */
export async function claimInterface(commands: Commands, name: string): Promise<void> {
  await (await interfaceTool(commands)).claim(name, ownerMark())
}

/** Removes interfaces that agents left when they died, with their routes; also `name` where a container
 *  that is no more left it. Returns their names, and the interface that has `name` now. */
export async function removeLeftoverInterfaces(
  commands: Commands,
  name: string,
): Promise<{ readonly removed: readonly string[]; readonly holder: Link | undefined }> {
  const tool = await interfaceTool(commands)
  const links = await tool.links()
  const leftovers = links.filter((link) => {
    const owner = ownerIn(link.alias)
    return owner === 'gone' || (owner === 'elsewhere' && link.name === name)
  })
  for (const link of leftovers) await tool.delete(link.name)
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
  const tool = await interfaceTool(commands)
  const { mtu, isUp, addresses, routes } = current ?? (await tool.read(name))
  const addressing = addressChanges(addresses, [...new Set(wanted.addresses)])
  const routing = routeChanges(routes, wanted.routes)
  const isSet = mtu === wanted.mtu && isUp
  const changes: readonly InterfaceChange[] = [
    ...(isSet ? [] : [{ what: 'up', mtu: wanted.mtu } as const]),
    ...addressing.add,
    ...routing.set,
    ...routing.remove,
    ...addressing.remove,
  ]
  return changes.length === 0 ? { hasIpv6: true } : tool.apply(name, changes)
}

function addressChanges(
  current: readonly Prefix[],
  wanted: readonly Prefix[],
): { readonly add: readonly InterfaceChange[]; readonly remove: readonly InterfaceChange[] } {
  return {
    add: wanted
      .filter((address) => !current.includes(address))
      .map((address) => ({ what: 'address', address })),
    remove: current
      .filter((address) => !wanted.includes(address))
      .map((address) => ({ what: 'no-address', address })),
  }
}
