/** Interfaces by rtnetlink: in microseconds, where a process of `ip` takes milliseconds. */
import { addressFamily } from '../../protocol/address.ts'
import { unreachable } from '../../protocol/errors.ts'
import { interfacesByIp } from './interface-by-ip.ts'
import type { InterfaceChange, InterfaceState, InterfaceTool } from './interface-tool.ts'
import { NetlinkError } from './netlink.ts'
import { asCommand } from './netlink-command.ts'
import type { Rtnetlink } from './rtnetlink.ts'
import type { Commands } from './run.ts'

/** The kernel works on each while this process waits: of more than these `ip` is told. */
const MOST_CHANGES = 256
/** IPv6 is disabled by sysctl, by a boot option or not built in. */
const NO_IPV6 = ['EACCES', 'EAFNOSUPPORT', 'ENOTSUP']

export function interfacesByNetlink(rtnetlink: Rtnetlink, commands: Commands): InterfaceTool {
  const told = async <T>(act: () => T): Promise<T> => asCommand(act)
  return {
    links: () => told(() => rtnetlink.links()),
    add: (name, kind) => told(() => rtnetlink.addLink(name, kind)),
    claim: (name, alias) => told(() => rtnetlink.changeLink(name, { alias, isUp: true })),
    delete: (name) => told(() => rtnetlink.deleteLink(name)),
    read: (name) => told(() => readInterface(rtnetlink, name)),
    apply: (name, changes) =>
      changes.length > MOST_CHANGES
        ? interfacesByIp(commands).apply(name, changes)
        : told(() => applyEach(rtnetlink, name, changes)),
  }
}

function readInterface(rtnetlink: Rtnetlink, name: string): InterfaceState {
  const { index, mtu, isUp } = linkNamed(rtnetlink, name)
  return { mtu, isUp, addresses: rtnetlink.addresses(index), routes: rtnetlink.routes(index) }
}

function linkNamed(
  rtnetlink: Rtnetlink,
  name: string,
): { index: number; mtu: number; isUp: boolean } {
  const link = rtnetlink.link(name)
  if (link === undefined) throw new NetlinkError(`link ${name}`, 'ENODEV')
  return link
}

function applyEach(
  rtnetlink: Rtnetlink,
  name: string,
  changes: readonly InterfaceChange[],
): { readonly hasIpv6: boolean } {
  const { index } = linkNamed(rtnetlink, name)
  const faults = changes.flatMap((change) => {
    try {
      apply(rtnetlink, { name, index }, change)
      return []
    } catch (error) {
      return [{ error, change }]
    }
  })
  const [fault] = faults.filter(({ error, change }) => !isIpv6Off(error, change))
  if (fault !== undefined) throw fault.error
  return { hasIpv6: faults.length === 0 }
}

function apply(
  rtnetlink: Rtnetlink,
  { name, index }: { readonly name: string; readonly index: number },
  change: InterfaceChange,
): void {
  switch (change.what) {
    case 'up':
      rtnetlink.changeLink(name, { mtu: change.mtu, isUp: true })
      break
    case 'address':
      rtnetlink.addAddress(index, change.address)
      break
    case 'no-address':
      rtnetlink.deleteAddress(index, change.address)
      break
    case 'route':
      rtnetlink.replaceRoute(index, change.route)
      break
    case 'no-route':
      rtnetlink.deleteRoute(index, change.prefix)
      break
    default:
      unreachable(change)
  }
}

function isIpv6Off(error: unknown, change: InterfaceChange): boolean {
  if (!(error instanceof NetlinkError) || !NO_IPV6.includes(error.code)) return false
  switch (change.what) {
    case 'up':
      return false
    case 'address':
    case 'no-address':
      return addressFamily(change.address) === 6
    default:
      return addressFamily(change.what === 'route' ? change.route.prefix : change.prefix) === 6
  }
}
