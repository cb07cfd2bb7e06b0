/** Reservations: places at circuit relays, so that members that cannot dial this device reach it. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { type Link, type Links, nameOfLink } from './links.ts'
import type { MeshNode } from './node.ts'

/** Members that are asked for a place, beside every registry. */
const MEMBERS = 2
/** Milliseconds between looks for relays at which a place is lacking. */
const LOOK_MS = 5000

export interface ReservationOptions {
  readonly links: Links
  isRelay(link: Link): boolean
  onChange(): void
  readonly clock: Clock
  readonly log: Log
}

export interface Reservations {
  /** A relay has come up, or has shown that it is one. */
  look(): void
  /** Circuit multiaddrs by which this device can be reached now, without its own peer id. */
  multiaddrs(): readonly string[]
  stop(): void
}

export function startReservations(
  { reservations }: MeshNode,
  options: ReservationOptions,
): Reservations {
  const asked = new Set<string>()
  const held = (link: Link): boolean => reservations.hasReservation(link.connection.remotePeer)
  const ask = async (link: Link): Promise<void> => {
    asked.add(link.peer)
    try {
      await reservations.addRelay(link.connection.remotePeer, 'configured')
      options.log('debug', 'mesh.relay-reserved', { name: nameOfLink(link), peer: link.peer })
      options.onChange()
    } catch (error) {
      options.log('debug', 'mesh.reservation-failed', { peer: link.peer, reason: String(error) })
    } finally {
      asked.delete(link.peer)
    }
  }
  const look = (): void => {
    for (const link of wanted(options, held)) {
      if (!held(link) && !asked.has(link.peer)) void ask(link)
    }
  }
  const timer = options.clock.every(LOOK_MS, look)
  return {
    look,
    multiaddrs: () => wanted(options, held).filter(held).map(circuitThrough),
    stop: () => timer.cancel(),
  }
}

/** A relay that dialled this device did so from a port that nobody can dial: its id must do. */
function circuitThrough({ connection, peer }: Link): string {
  const relay =
    connection.direction === 'outbound' ? connection.remoteAddr.toString() : `/p2p/${peer}`
  return `${relay}/p2p-circuit`
}

/** Every registry, and of the relaying members those that gave a place already, then any. */
function wanted(
  { links, isRelay }: ReservationOptions,
  held: (link: Link) => boolean,
): readonly Link[] {
  const direct = links.all().filter((link) => link.kind === 'direct' && isRelay(link))
  const byPeer = [...new Map(direct.map((link) => [link.peer, link])).values()]
  const members = byPeer
    .filter(({ who }) => who.kind === 'device')
    .toSorted((a, b) => Number(held(b)) - Number(held(a)) || (a.peer < b.peer ? -1 : 1))
  return [...byPeer.filter(({ who }) => who.kind === 'registry'), ...members.slice(0, MEMBERS)]
}
