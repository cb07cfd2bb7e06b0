/** What happens in one run of the path simulation, drawn from a seed. */
import { seededRandom } from '../virtual-clock.ts'
import { PATH_SITE_KINDS, type PathSiteKind } from './internet.ts'

export const PATH_EVENTS = [
  /** Both agents start, as far as the first window goes. */
  'start',
  /** The public address of one side, or of both, is another; mappings are lost. */
  'renumber',
  'renumber-both',
  /** One host has another address on its LAN. */
  'move',
  /** One NAT, or both, forget all mappings. */
  'flush',
  'flush-both',
  /** One agent with its WireGuard, or both, start again. */
  'restart',
  'restart-both',
  /** The relay passes no datagrams for 20 s. */
  'relay-lost',
  /** The direct path swallows WireGuard, and checks pass, for the whole window. */
  'wireguard-swallowed',
] as const
export type PathEventKind = (typeof PATH_EVENTS)[number]

export interface PathEvent {
  readonly kind: PathEventKind
  /** The side it happens to, where it is one. */
  readonly side: 0 | 1
}

export interface Scenario {
  readonly seed: number
  readonly kinds: readonly [PathSiteKind, PathSiteKind]
  /** Both hosts are on one LAN, of the first kind. */
  readonly isSameSite: boolean
  /** One way, of each access link and of the meeting place. */
  readonly delaysMs: readonly [number, number, number]
  readonly loss: number
  readonly events: readonly PathEvent[]
}

/** Events after the start. */
const EVENTS = 3

export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const delay = (): number => 1 + Math.floor(random() * 60)
  const kinds = [pick(PATH_SITE_KINDS), pick(PATH_SITE_KINDS)] as const
  const isSameSite = random() < 0.1 && !isHostItsEdge(kinds[0])
  const scenario: Scenario = {
    seed,
    kinds: isSameSite ? [kinds[0], kinds[0]] : kinds,
    isSameSite,
    delaysMs: [delay(), delay(), delay()],
    loss: pick([0, 0, 0.01, 0.03]),
    events: [],
  }
  const possible = PATH_EVENTS.filter((kind) => kind !== 'start' && isPossible(kind, scenario))
  const events = Array.from(
    { length: EVENTS },
    (): PathEvent => ({
      kind: pick(possible),
      side: random() < 0.5 ? 0 : 1,
    }),
  )
  return { ...scenario, events: [{ kind: 'start', side: 0 }, ...events] }
}

function isHostItsEdge(kind: PathSiteKind): boolean {
  return kind === 'public' || kind === 'fw'
}

function isPossible(kind: PathEventKind, scenario: Scenario): boolean {
  if (kind === 'relay-lost') return isDirectPossible(scenario)
  // Where every path loses packets, no bound is promised for the proof that one loses all.
  if (kind === 'wireguard-swallowed') return scenario.loss === 0
  if (kind === 'move') return !scenario.kinds.some(isHostItsEdge)
  return true
}

/** Does what RFC 4787 says of the two NATs allow a direct path? Where neither knows the other's port before it has
 *  sent, one side must let in what comes from the other's address alone. */
export function isDirectPossible({ kinds, isSameSite }: Scenario): boolean {
  if (isSameSite) return true
  if (kinds.includes('udpblock')) return false
  const lets: readonly PathSiteKind[] = ['public', 'full', 'addr']
  const hard = kinds.filter((kind) => kind === 'symm' || kind === 'cgsymm').length
  if (hard === 0) return true
  return hard === 1 && kinds.some((kind) => lets.includes(kind))
}
