/** Link MTU: how large a packet leaves the host in one piece, as the kernel knows. Sizes are bytes. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { isInterfaceName } from './interface.ts'
import { CommandError, type Commands } from './run.ts'

/** Text of a file of the kernel's; '' where there is none. */
export type ReadText = (path: string) => string

const FOUND = z.array(
  z.object({
    dst: z.string(),
    dev: z.string(),
    metrics: z.array(z.object({ mtu: z.number().optional() })).optional(),
  }),
)

/** The largest MTU of the links that lead to the Internet, one for each family; undefined where no default
 *  route leads out of the host, or only into the tunnel. */
export function defaultLinkMtu(
  tunnelInterface: string,
  read: ReadText = readText,
): number | undefined {
  const names = [ipv4Default(read('/proc/net/route')), ipv6Default(read('/proc/net/ipv6_route'))]
  const found = names
    .filter((name) => name !== undefined && name !== tunnelInterface)
    .flatMap((name) => linkMtu(name ?? '', read) ?? [])
  return found.length === 0 ? undefined : Math.max(...found)
}

/** The largest packet that leaves for each address in one piece: the MTU of the link or of the route, or
 *  less where a router has said so (RFC 1191, RFC 8201), which the kernel remembers for ten minutes. Missing
 *  is what no route leads to. Throws CommandError where `ip` can't be run. */
export async function readRouteMtus(
  commands: Commands,
  addresses: readonly IpAddress[],
  read: ReadText = readText,
): Promise<ReadonlyMap<IpAddress, number>> {
  const found = new Map<IpAddress, number>()
  for (const { dst, dev, metrics = [] } of await lookUp(commands, [...new Set(addresses)])) {
    const limits = [linkMtu(dev, read), ...metrics.map(({ mtu }) => mtu)]
    const known = limits.filter((mtu) => mtu !== undefined)
    if (known.length > 0) found.set(parseIpAddress(dst), Math.min(...known))
  }
  return found
}

type Found = z.output<typeof FOUND>

/** One process for all; where one has no route, which ends it with a failure, one for each. */
async function lookUp(commands: Commands, addresses: readonly IpAddress[]): Promise<Found> {
  if (addresses.length === 0) return []
  const lines = addresses.map((address) => `route get ${address}\n`)
  try {
    const text = await commands.run('ip', ['-json', '-batch', '-'], { input: lines.join('') })
    return text
      .split('\n')
      .filter((line) => line.startsWith('['))
      .flatMap((line) => FOUND.parse(JSON.parse(line)))
  } catch (error) {
    if (!(error instanceof CommandError && error.code === 'ERR_COMMAND_FAILED')) throw error
    if (addresses.length === 1) return []
    const each = await Promise.all(addresses.map((address) => lookUp(commands, [address])))
    return each.flat()
  }
}

/** Undefined where there is no such link. */
function linkMtu(name: string, read: ReadText): number | undefined {
  if (!isInterfaceName(name)) return undefined
  const mtu = Number.parseInt(read(`/sys/class/net/${name}/mtu`), 10)
  return mtu > 0 ? mtu : undefined
}

/** Columns: interface, destination, gateway, flags, reference count, use, metric, mask, …; hexadecimal but
 *  for the metric. */
function ipv4Default(table: string): string | undefined {
  return least(
    rows(table)
      .filter(
        ([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000',
      )
      .map(([name = '', , , , , , metric = '']) => [name, Number.parseInt(metric, 10)]),
  )
}

/** Columns: destination, its length, source, its length, next hop, metric, reference count, use, flags,
 *  interface; hexadecimal. The loopback has an entry that refuses what no other route takes. */
function ipv6Default(table: string): string | undefined {
  return least(
    rows(table)
      .filter(([destination, length, , , , , , , , name]) => {
        return /^0{32}$/.test(destination ?? '') && length === '00' && name !== 'lo'
      })
      .map(([, , , , , metric = '', , , , name = '']) => [name, Number.parseInt(metric, 16)]),
  )
}

function rows(table: string): readonly (readonly string[])[] {
  return table.split('\n').map((line) => line.trim().split(/\s+/))
}

function least(routes: readonly (readonly [name: string, metric: number])[]): string | undefined {
  return routes.toSorted(([, a], [, b]) => a - b)[0]?.[0]
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}
