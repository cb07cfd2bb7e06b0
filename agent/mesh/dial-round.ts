/** One round of dialling a peer: every way that may work, the better ones a little earlier. */

import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { abortConnection } from '../../protocol/abort.ts'
import type { IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { Admission } from './admission.ts'
import type { Link, Links } from './links.ts'
import { ipOf, isCircuit, parseMultiaddr, relayOf, tcpPortOf, toPeer } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'
import type { Rest } from './redial.ts'

/** Milliseconds for one address to connect and say hello. */
const DIAL_MS = 5000
/** Milliseconds by which the overlay comes after direct addresses: it may have to bring a tunnel up. */
const OVERLAY_LATER_MS = 100
/** Milliseconds by which an overlay address of the other family comes later (RFC 8305 §5: 250). */
const NEXT_FAMILY_MS = 250
/** Milliseconds by which a circuit comes after direct addresses. */
const CIRCUIT_LATER_MS = 200
/** Milliseconds by which the end with the higher id comes after the other, over the overlay and by a
 *  circuit: one connection will do. */
const HIGHER_LATER_MS = 300
/** Addresses dialled in one round. */
const ADDRESSES = 12
/** Relays tried in one round. */
const RELAYS = 4
/** Where a member listens that says nothing else. */
const DEFAULT_PORT = 51822

/** A dial through the tunnel wakes the path below it for 5 min (path/timing.ts, IDLE_AFTER_MS) and WireGuard for 90 s.
 *  Where the peer is off it rests: the path itself is sought, and any word of the peer begins it anew. */
const OVERLAY_REST = { after: 4, firstMs: 600_000, longestMs: 3_600_000 } as const
/** The same of a device with no link at all, which nobody tells anything: the paths stay awake, for NATs on both sides
 *  open where both sides try. */
const ALONE_REST_MS = 240_000

/** As of now, each time that it is asked for. */
export function overlayRest(links: Links): Rest {
  const longestMs = (): number =>
    links.all().length === 0 ? ALONE_REST_MS : OVERLAY_REST.longestMs
  return { ...OVERLAY_REST, longestMs }
}

/** Members that are off are sought all the same, each the more rarely the more they are: some member each 30 s, so that
 *  the halves of a mesh that was cut in two find each other. A word of the member's begins it anew. */
const MEMBER_REST = { after: 8, firstMs: 60_000 } as const
const SOME_MEMBER_MS = 30_000
const LONGEST_MEMBER_REST_MS = 300_000

/** @param absent members that are sought and not linked, as of now; 1 where nobody would tell that they are back */
export function memberRest(absent: () => number): Rest {
  const longestMs = (): number =>
    Math.min(LONGEST_MEMBER_REST_MS, Math.max(1, absent()) * SOME_MEMBER_MS)
  return { ...MEMBER_REST, longestMs }
}

/** Whom to reach. */
export interface DialTarget {
  /** libp2p peer id as text; undefined of a registry whose multiaddr does not tell. */
  readonly peer: string | undefined
  readonly multiaddrs: readonly string[]
  readonly overlayAddresses: readonly IpAddress[]
}

export interface DialContext {
  readonly mesh: MeshNode
  readonly links: Links
  readonly admission: Admission
  readonly self: string
  isRelay(link: Link): boolean
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly log: Log
}

export function linksTo(target: DialTarget, links: Links): readonly Link[] {
  if (target.peer !== undefined) return links.to(target.peer)
  return links
    .all()
    .filter(({ connection }) =>
      target.multiaddrs.some((each) => connection.remoteAddr.toString().startsWith(each)),
    )
}

/** Dials the peer's own addresses. Resolves to whether there is a direct link at the end: one through the
 *  tunnel relays nothing, for datagrams would run inside datagrams. */
export function dialDirectly(target: DialTarget, context: DialContext): Promise<boolean> {
  return race(
    target,
    directAddresses(target).map((address) => ({ address, laterMs: 0 })),
    context,
    (link) => link.kind === 'direct',
  )
}

/** Dials through the tunnel, a little later: apart from the direct addresses, for a tunnel that is not up
 *  swallows the dial, and those are to be tried again sooner than that one ends. */
export function dialOverlay(target: DialTarget, context: DialContext): Promise<boolean> {
  const turn = target.peer !== undefined && context.self > target.peer ? HIGHER_LATER_MS : 0
  const addresses = overlayAddresses(target).map((address, index) => ({
    address,
    laterMs: OVERLAY_LATER_MS + turn + index * NEXT_FAMILY_MS,
  }))
  return race(target, addresses, context, ({ kind }) => kind !== 'circuit')
}

/** Dials all, each at its moment; the first that connects ends the others. */
async function race(
  target: DialTarget,
  addresses: readonly { readonly address: Multiaddr; readonly laterMs: number }[],
  context: DialContext,
  isWanted: (link: Link) => boolean,
): Promise<boolean> {
  const isReached = (): boolean => linksTo(target, context.links).some(isWanted)
  if (isReached()) return true
  const won = new AbortController()
  const signal = AbortSignal.any([context.signal, won.signal, AbortSignal.timeout(DIAL_MS)])
  const dials = addresses.map(async ({ address, laterMs }) => {
    if (laterMs > 0) await context.clock.sleep(laterMs, signal)
    // Another address, or the other end, was faster: one connection will do.
    if (!isReached()) await connect(address, signal, context)
    abortConnection(won, new Error('reached by another address'))
  })
  await settled(dials, target, context)
  return isReached()
}

/** Dials through relays that both ends may be connected to. Resolves to whether that is done with:
 *  there is a circuit, or something better, or no relay to try. */
export async function dialCircuit(target: DialTarget, context: DialContext): Promise<boolean> {
  const { peer } = target
  const isReached = (): boolean =>
    linksTo(target, context.links).some(({ kind }) => kind !== 'overlay')
  if (peer === undefined || isReached()) return true
  const relays = relaysFor(target, peer, context)
  if (relays.length === 0) return true
  const later =
    (directAddresses(target).length > 0 ? CIRCUIT_LATER_MS : 0) +
    (context.self > peer ? HIGHER_LATER_MS : 0)
  await settled([context.clock.sleep(later, context.signal)], target, context)
  for (const relay of relays) {
    if (isReached() || context.signal.aborted) break
    const address = parseMultiaddr(
      `${relay.connection.remoteAddr.toString()}/p2p-circuit/p2p/${peer}`,
    )
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(DIAL_MS)])
    if (address !== undefined) await settled([connect(address, signal, context)], target, context)
  }
  return isReached()
}

/** Those that the peer names first, then registries. */
function relaysFor(target: DialTarget, peer: string, context: DialContext): readonly Link[] {
  const named = new Set(
    target.multiaddrs.flatMap((text) => {
      const address = parseMultiaddr(text)
      return address !== undefined && isCircuit(address) ? [relayOf(address)] : []
    }),
  )
  const rank = (link: Link): number =>
    (named.has(link.peer) ? 0 : 2) + (link.who.kind === 'registry' ? 0 : 1)
  return context.links
    .all()
    .filter((link) => link.kind === 'direct' && link.peer !== peer && context.isRelay(link))
    .toSorted((a, b) => rank(a) - rank(b))
    .slice(0, RELAYS)
}

async function connect(
  address: Multiaddr,
  signal: AbortSignal,
  { mesh, admission }: DialContext,
): Promise<void> {
  signal.throwIfAborted()
  await admission.admitted(await dialUnder(address, signal, mesh))
}

/** The socket stays bound to the signal it is dialled with: that one must never fire afterwards. */
async function dialUnder(
  address: Multiaddr,
  signal: AbortSignal,
  mesh: MeshNode,
): Promise<Connection> {
  const dialling = new AbortController()
  const abort = (): void => dialling.abort(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    return await mesh.dial(address, dialling.signal)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function directAddresses({ peer, multiaddrs }: DialTarget): readonly Multiaddr[] {
  return multiaddrs
    .flatMap((text) => parseMultiaddr(text) ?? [])
    .filter((address) => !isCircuit(address) && tcpPortOf(address) !== undefined)
    .slice(0, ADDRESSES)
    .map((address) => (peer === undefined ? address : toPeer(address, peer)))
}

/** The overlay addresses with the port on which the peer listens outside. */
function overlayAddresses(target: DialTarget): readonly Multiaddr[] {
  const { peer } = target
  const known = directAddresses(target).find((address) => ipOf(address) !== undefined)
  const port = (known && tcpPortOf(known)) ?? DEFAULT_PORT
  return target.overlayAddresses.flatMap((ip) => {
    const family = ip.includes(':') ? 'ip6' : 'ip4'
    return parseMultiaddr(`/${family}/${ip}/tcp/${port}/p2p/${peer}`) ?? []
  })
}

/** Waits for all; a dial that fails is no news. */
async function settled(
  dials: readonly Promise<void>[],
  { peer }: DialTarget,
  { log }: DialContext,
): Promise<void> {
  for (const result of await Promise.allSettled(dials)) {
    if (result.status === 'rejected') {
      log('debug', 'mesh.dial-failed', { peer, reason: String(result.reason) })
    }
  }
}
