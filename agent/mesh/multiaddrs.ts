/** Multiaddrs: taking them apart, and choosing this device's own. */
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { mayBeChecked } from '../host/usable-address.ts'
import type { RelayHost } from './relay-udp-socket.ts'

const CIRCUIT = '/p2p-circuit'

/** Undefined of text that is no multiaddr: it comes from other devices. */
export function parseMultiaddr(text: string): Multiaddr | undefined {
  try {
    return multiaddr(text)
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}

export function isCircuit(address: Multiaddr): boolean {
  return address.toString().includes(CIRCUIT)
}

/** The IP address it begins with; undefined of a DNS name or a bare peer id. */
export function ipOf(address: Multiaddr): IpAddress | undefined {
  const [first, second] = address.getComponents()
  const component = first?.name === 'ip6zone' ? second : first
  const isIp = component?.name === 'ip4' || component?.name === 'ip6'
  return isIp && component.value !== undefined ? parseIpAddress(component.value) : undefined
}

/** Who is at the other end of the connection, for a socket of another kind; undefined of a circuit. */
export function hostOf(address: Multiaddr): RelayHost | undefined {
  const [first, second] = address.getComponents()
  const component = first?.name === 'ip6zone' ? second : first
  const { name, value } = component ?? {}
  if (value === undefined || isCircuit(address)) return undefined
  if (name === 'ip6' || name === 'dns6') return { family: 6, host: value }
  return name === 'ip4' || name === 'dns4' || name === 'dns'
    ? { family: 4, host: value }
    : undefined
}

export function tcpPortOf(address: Multiaddr): number | undefined {
  const port = address.getComponents().find(({ name }) => name === 'tcp')?.value
  return port === undefined ? undefined : Number(port)
}

/** The last peer id in it: who is to answer. */
export function peerIdTextOf(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value
}

/** The relay that a circuit goes through. */
export function relayOf(address: Multiaddr): string | undefined {
  const [relay] = address.toString().split(CIRCUIT)
  return relay === undefined ? undefined : /\/p2p\/([^/]+)$/.exec(relay)?.[1]
}

/** With the peer id at its end, once. */
export function toPeer(address: Multiaddr, peer: string): Multiaddr {
  return peerIdTextOf(address) === peer && !address.toString().endsWith(CIRCUIT)
    ? address
    : address.encapsulate(`/p2p/${peer}`)
}

/** Of what a member says of itself: circuits, and addresses of one host. No names, which whoever owns them points
 *  where they like, and loopback only where this device listens nowhere else: nobody is to have others talk to their
 *  own services. @param own by which this device listens */
export function dialable(
  multiaddrs: readonly string[],
  own: readonly Multiaddr[],
): readonly string[] {
  const isAlone = own.every((each) => isLoopback(ipOf(each) ?? ''))
  return multiaddrs.filter((text) => {
    const address = parseMultiaddr(text)
    if (address === undefined || isCircuit(address)) return address !== undefined
    const ip = ipOf(address)
    return ip !== undefined && mayBeChecked(ip, isAlone)
  })
}

/** What this device tells others: no overlay, no link-local addresses, no loopback unless alone. */
export function announced(
  listening: readonly Multiaddr[],
  overlay: ReadonlySet<IpAddress>,
): readonly string[] {
  const outside = listening.filter((address) => {
    const ip = ipOf(address)
    return ip !== undefined && !overlay.has(ip) && !isLinkLocal(ip) && !isCircuit(address)
  })
  const hosts = outside.filter((address) => !isLoopback(ipOf(address) ?? ''))
  return [...new Set(interleaved(hosts.length > 0 ? hosts : outside).map(withoutPeer))]
}

/** One of each port in turn: where the list is cut off, no port is missing. */
function interleaved(addresses: readonly Multiaddr[]): readonly Multiaddr[] {
  const groups = [...Map.groupBy(addresses, tcpPortOf).values()]
  const longest = Math.max(0, ...groups.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) =>
    groups.flatMap((group) => group[index] ?? []),
  ).flat()
}

function withoutPeer(address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/[^/]+$/, '')
}

function isLinkLocal(ip: string): boolean {
  return ip.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/i.test(ip)
}

function isLoopback(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1'
}
