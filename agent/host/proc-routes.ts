/** Default routes as /proc tells them, where `ip` is not to be run: of the main table, without rules and policies. */
import { readFileSync } from 'node:fs'
import { type AddressFamily, addressFromBytes, type IpAddress } from '../../protocol/address.ts'
import { CommandError } from './run.ts'

export interface DefaultRoute {
  readonly interfaceName: string
  /** Missing where the route leads straight to a link. */
  readonly gateway?: IpAddress
  readonly metric: number
}

/** Text of a file of the kernel's; '' where there is none. */
type ReadText = (path: string) => string

/** Flags of a route that is up and does not reject (route.h), hexadecimal in both files. */
const [UP, REJECT] = [0x1, 0x200]

/** Lowest metric first. */
export function defaultRoutes(
  family: AddressFamily,
  read: ReadText = readText,
): readonly DefaultRoute[] {
  const found = family === 4 ? ipv4(read('/proc/net/route')) : ipv6(read('/proc/net/ipv6_route'))
  return found.toSorted((a, b) => a.metric - b.metric)
}

/** What `fallback` says where the command that `task` runs is missing. */
export async function whereMissing<T>(task: Promise<T>, fallback: () => T): Promise<T> {
  try {
    return await task
  } catch (error) {
    if (error instanceof CommandError && error.code === 'ERR_COMMAND_MISSING') return fallback()
    throw error
  }
}

/** Name, destination, gateway, flags, two counters, metric, mask: numbers as the processor keeps them. */
function ipv4(text: string): DefaultRoute[] {
  return lines(text).flatMap(([name = '', to, gateway = '', flags = '', , , metric, mask]) => {
    if (to !== '00000000' || mask !== '00000000' || !isUsable(flags)) return []
    return [route(name, Buffer.from(gateway, 'hex').toReversed(), Number(metric))]
  })
}

/** Destination, its length, source, its length, next hop, metric, two counters, flags, name. */
function ipv6(text: string): DefaultRoute[] {
  return lines(text).flatMap(
    ([to = '', length, , , hop = '', metric, , , flags = '', name = '']) => {
      if (length !== '00' || !/^0{32}$/.test(to) || name === 'lo' || !isUsable(flags)) return []
      return [route(name, Buffer.from(hop, 'hex'), Number.parseInt(metric ?? '', 16))]
    },
  )
}

function route(interfaceName: string, gateway: Uint8Array, metric: number): DefaultRoute {
  const isThere = gateway.some((byte) => byte !== 0) && [4, 16].includes(gateway.length)
  return { interfaceName, metric, ...(isThere ? { gateway: addressFromBytes(gateway) } : {}) }
}

function isUsable(flags: string): boolean {
  const bits = Number.parseInt(flags, 16)
  return (bits & UP) !== 0 && (bits & REJECT) === 0
}

function lines(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(/\s+/))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
