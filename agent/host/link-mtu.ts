/** Link MTU: how large a packet leaves the host in one piece, as the kernel knows. Sizes are bytes. */
import { readFileSync } from 'node:fs'
import { addressFamily, type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { type Fields, optionalNumber, recordsOf, textField } from '../json-fields.ts'
import { isInterfaceName } from './interface.ts'
import { NetlinkError } from './netlink.ts'
import { defaultRoutes, whereMissing } from './proc-routes.ts'
import type { Rtnetlink } from './rtnetlink.ts'
import { CommandError, type Commands } from './run.ts'

/** Text of a file of the kernel's; '' where there is none. */
export type ReadText = (path: string) => string

/** Where a packet leaves, and the MTUs that the route itself has. */
interface Found {
  readonly address: string
  readonly interfaceName: string
  readonly mtus: readonly number[]
}

/** The largest MTU of the links that lead to the Internet, one for each family; undefined where no default
 *  route leads out of the host, or only into the tunnel. */
export function defaultLinkMtu(
  tunnelInterface: string,
  read: ReadText = readText,
): number | undefined {
  const names = ([4, 6] as const).map((family) => defaultRoutes(family, read)[0]?.interfaceName)
  const found = names
    .filter((name) => name !== undefined && name !== tunnelInterface)
    .flatMap((name) => linkMtu(name ?? '', read) ?? [])
  return found.length === 0 ? undefined : Math.max(...found)
}

/** The largest packet that leaves for each address in one piece: the MTU of the link or of the route, or
 *  less where a router has said so (RFC 1191, RFC 8201), which the kernel remembers for ten minutes. Missing
 *  is what no route leads to. Throws CommandError where `ip` fails; where it is missing the default
 *  route is taken for every address. */
export async function readRouteMtus(
  commands: Commands,
  addresses: readonly IpAddress[],
  read: ReadText = readText,
): Promise<ReadonlyMap<IpAddress, number>> {
  const found = new Map<IpAddress, number>()
  const wanted = [...new Set(addresses)]
  const rtnetlink = await commands.rtnetlink?.()
  if (rtnetlink !== undefined) return askedMtus(rtnetlink, wanted)
  const routes = await whereMissing(lookUp(commands, wanted), () => byDefault(wanted))
  for (const { address, interfaceName, mtus } of routes) {
    const ofLink = linkMtu(interfaceName, read)
    const known = ofLink === undefined ? mtus : [ofLink, ...mtus]
    if (known.length > 0) found.set(parseIpAddress(address), Math.min(...known))
  }
  return found
}

function askedMtus(
  rtnetlink: Rtnetlink,
  addresses: readonly IpAddress[],
): ReadonlyMap<IpAddress, number> {
  const found = new Map<IpAddress, number>()
  for (const address of addresses) {
    const mtu = askedMtu(rtnetlink, address)
    if (mtu !== undefined) found.set(address, mtu)
  }
  return found
}

function askedMtu(rtnetlink: Rtnetlink, address: IpAddress): number | undefined {
  try {
    const route = rtnetlink.routeTo(address)
    const link = route === undefined ? undefined : rtnetlink.link(route.link)
    return link && Math.min(link.mtu, route?.mtu ?? link.mtu)
  } catch (error) {
    if (error instanceof NetlinkError) return undefined
    throw error
  }
}

/** One process for all; where one has no route, which ends it with a failure, one for each. */
async function lookUp(
  commands: Commands,
  addresses: readonly IpAddress[],
): Promise<readonly Found[]> {
  if (addresses.length === 0) return []
  const lines = addresses.map((address) => `route get ${address}\n`)
  try {
    const text = await commands.run('ip', ['-json', '-batch', '-'], { input: lines.join('') })
    return text
      .split('\n')
      .filter((line) => line.startsWith('['))
      .flatMap((line) => recordsOf(JSON.parse(line), 'route get'))
      .map(foundOf)
  } catch (error) {
    if (!(error instanceof CommandError && error.code === 'ERR_COMMAND_FAILED')) throw error
    if (addresses.length === 1) return []
    const each = await Promise.all(addresses.map((address) => lookUp(commands, [address])))
    return each.flat()
  }
}

function foundOf(fields: Fields): Found {
  const { metrics = [] } = fields
  return {
    address: textField(fields, 'dst'),
    interfaceName: textField(fields, 'dev'),
    mtus: recordsOf(metrics, 'metrics').flatMap((each) => optionalNumber(each, 'mtu') ?? []),
  }
}

function byDefault(addresses: readonly IpAddress[]): readonly Found[] {
  return addresses.flatMap((address) => {
    const [route] = defaultRoutes(addressFamily(address))
    return route === undefined ? [] : [{ address, interfaceName: route.interfaceName, mtus: [] }]
  })
}

/** Undefined where there is no such link. */
function linkMtu(name: string, read: ReadText): number | undefined {
  if (!isInterfaceName(name)) return undefined
  const mtu = Number.parseInt(read(`/sys/class/net/${name}/mtu`), 10)
  return mtu > 0 ? mtu : undefined
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}
