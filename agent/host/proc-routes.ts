/** Routes as /proc tells them, where `ip` is not to be run: of IPv4 the main table's, of IPv6 every table's, without rules
 *  and policies. */
import { readFileSync } from 'node:fs'
import { toHex } from '../../crypto/bytes.ts'
import {
  type AddressFamily,
  addressFromBytes,
  type IpAddress,
  type Prefix,
  parsePrefix,
} from '../../protocol/address.ts'
import { CommandError } from './run.ts'

export interface DefaultRoute {
  readonly interfaceName: string
  /** Missing where the route leads straight to a link. */
  readonly gateway?: IpAddress
  readonly metric: number
}

export interface NetworkRoute {
  readonly prefix: Prefix
  readonly interfaceName: string
  readonly metric: number
}

/** Text of a file of the kernel's; '' where there is none. */
export type ReadText = (path: string) => string

/** Flags of a route that is up and does not reject (route.h, ipv6_route.h), hexadecimal in both files. */
const [UP, REJECT] = [0x1, 0x200]
/** Of this host's own addresses, and of what the kernel remembers of a destination. */
const NO_NETWORK = 0x8000_0000 | 0x0010_0000 | 0x0100_0000

/** Lowest metric first. */
export function defaultRoutes(
  family: AddressFamily,
  read: ReadText = readText,
): readonly DefaultRoute[] {
  const found = family === 4 ? ipv4(read('/proc/net/route')) : ipv6(read('/proc/net/ipv6_route'))
  return found.toSorted((a, b) => a.metric - b.metric)
}

/** All but default routes, of both families; none that drops what it matches. */
export function networkRoutes(read: ReadText = readText): readonly NetworkRoute[] {
  return [
    ...lines(read('/proc/net/route')).flatMap(
      ([name = '', to = '', , flags = '', , , metric, mask = '']) =>
        network(name, Buffer.from(to, 'hex').toReversed(), bitsOf(mask), flags, Number(metric)),
    ),
    ...lines(read('/proc/net/ipv6_route')).flatMap(
      ([to = '', length = '', , , , metric = '', , , flags = '', name = '']) => {
        const bits = Number.parseInt(length, 16)
        return network(name, Buffer.from(to, 'hex'), bits, flags, Number.parseInt(metric, 16))
      },
    ),
  ]
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

function network(
  interfaceName: string,
  to: Uint8Array,
  length: number,
  flags: string,
  metric: number,
): NetworkRoute[] {
  const isNetwork = isUsable(flags) && (Number.parseInt(flags, 16) & NO_NETWORK) === 0 && length > 0
  if (!isNetwork || ['lo', '*', ''].includes(interfaceName)) return []
  if (![4, 16].includes(to.length) || length > to.length * 8 || Number.isNaN(metric)) return []
  return [{ prefix: prefixOf(to, length), interfaceName, metric }]
}

/** Remembered: there is a route to each member, and all are read again and again. */
function prefixOf(to: Uint8Array, length: number): Prefix {
  const key = `${toHex(to)}/${length}`
  const prefix = known.get(key) ?? parsePrefix(`${addressFromBytes(to)}/${length}`)
  if (known.size >= REMEMBERED) known.clear()
  known.set(key, prefix)
  return prefix
}
const known = new Map<string, Prefix>()
const REMEMBERED = 8192

/** Of a mask in hexadecimal digits. */
function bitsOf(mask: string): number {
  return [...Buffer.from(mask, 'hex')].reduce((sum, byte) => sum + BITS.indexOf(byte) + 1, 0)
}
const BITS = [0x80, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xfe, 0xff]

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
