/** Interfaces by rtnetlink: in microseconds, where a process of `ip` takes milliseconds. */
import { setImmediate as breath } from 'node:timers/promises'
import { addressFamily } from '../../protocol/address.ts'
import { unreachable } from '../../protocol/errors.ts'
import type {
  ConfiguredInterface,
  InterfaceChange,
  InterfaceState,
  InterfaceTool,
} from './interface-tool.ts'
import { NetlinkError } from './netlink.ts'
import { asCommand } from './netlink-command.ts'
import type { Rtnetlink } from './rtnetlink.ts'
import type { LinkState } from './rtnetlink-messages.ts'
import { CommandError } from './run.ts'

/** The kernel works on each while this process waits: after so many others have their turn. */
const CHANGES_AT_ONCE = 256
/** IPv6 is disabled by sysctl, by a boot option or not built in. */
const NO_IPV6 = ['EACCES', 'EAFNOSUPPORT', 'ENOTSUP']

export function interfacesByNetlink(rtnetlink: Rtnetlink): InterfaceTool {
  const told = async <T>(act: () => T): Promise<T> => asCommand(act)
  return {
    links: () => told(() => rtnetlink.links()),
    add: (name, kind) => told(() => rtnetlink.addLink(name, kind)),
    claim: (name, alias) => told(() => rtnetlink.changeLink(name, { alias, isUp: true })),
    delete: (name) => told(() => rtnetlink.deleteLink(name)),
    read: (name) => told(() => readInterface(rtnetlink, name)),
    apply: (name, changes) => applyAll(rtnetlink, name, changes),
  }
}

function readInterface(rtnetlink: Rtnetlink, name: string): InterfaceState {
  const { index, mtu, isUp } = linkNamed(rtnetlink, name)
  return { mtu, isUp, addresses: rtnetlink.addresses(index), routes: rtnetlink.routes(index) }
}

function linkNamed(rtnetlink: Rtnetlink, name: string): LinkState {
  const link = rtnetlink.link(name)
  if (link === undefined) throw new NetlinkError(`link ${name}`, 'ENODEV')
  return link
}

async function applyAll(
  rtnetlink: Rtnetlink,
  name: string,
  changes: readonly InterfaceChange[],
): Promise<ConfiguredInterface> {
  let hasIpv6 = true
  let fault: unknown
  for (let from = 0; from < changes.length; from += CHANGES_AT_ONCE) {
    if (from > 0) await breath()
    const link = asCommand(() => linkNamed(rtnetlink, name))
    for (const change of changes.slice(from, from + CHANGES_AT_ONCE)) {
      try {
        asCommand(() => apply(rtnetlink, link, change))
      } catch (error) {
        if (isIpv6Off(error, change)) hasIpv6 = false
        else fault ??= error
      }
    }
  }
  if (fault !== undefined) throw fault
  return { hasIpv6 }
}

function apply(rtnetlink: Rtnetlink, { name, index }: LinkState, change: InterfaceChange): void {
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
  const cause = error instanceof CommandError ? error.cause : undefined
  if (!(cause instanceof NetlinkError) || !NO_IPV6.includes(cause.code)) return false
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
