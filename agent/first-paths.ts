/** First paths: what a start waits for before it loads more code, which keeps the processor busy for longer than a check
 *  and a handshake take: direct paths and relays that are attached to before the mesh, other relays before the rest. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Paths } from './path/paths.ts'

/** Milliseconds that direct paths get alone: a round trip within a continent, and what a processor needs meanwhile. */
const DIRECT_MS = 120
/** Milliseconds that paths get: a round trip to a relay and one through it, and a peer that was started a little later. */
const PATHS_MS = 300
/** Milliseconds, with these, until WireGuard's sessions are up on them. */
const SESSIONS_MS = 500
/** Milliseconds that the first packets by a relay get: they pass through this process. */
const PACKETS_MS = 150
/** Milliseconds that relays get, and the sessions by them. */
const RELAYS_MS = 500
/** Milliseconds between looks. */
const LOOK_MS = 5

type Peers = ReadonlyMap<DeviceId, { readonly endpoints?: object | undefined }>
type PathsSeen = Pick<Paths, 'status' | 'hasSession'>
type Waiting = Pick<Clock, 'monotonicMs' | 'sleep'>

/** Is each of the peers that can be checked at once reached directly, after a moment? */
export async function directPaths(
  peers: Peers,
  paths: PathsSeen,
  clock: Waiting,
): Promise<boolean> {
  const known = knownOf(peers)
  const areDirect = (): boolean => known.every((peer) => paths.status(peer).kind === 'direct')
  await whileSome(clock, (passedMs) => passedMs < DIRECT_MS && !areDirect())
  return areDirect()
}

/** Resolves when each of the peers that can be checked at once, for its candidates are known, is reached and has a
 *  session, or has had its chance. */
export async function firstPaths(peers: Peers, paths: PathsSeen, clock: Waiting): Promise<void> {
  const known = knownOf(peers)
  let doneMs = Infinity
  await whileSome(clock, (passedMs) => {
    const kinds = known.map((peer) => paths.status(peer).kind)
    // Whoever is not reached by then may wait for the mesh.
    const areReached = kinds.every((kind) => kind === 'direct' || kind === 'relay')
    const areDone = areReached && known.every((peer) => paths.hasSession(peer))
    if (!areDone) return passedMs < (areReached ? SESSIONS_MS : PATHS_MS)
    doneMs = Math.min(doneMs, passedMs)
    return kinds.includes('relay') && passedMs < doneMs + PACKETS_MS
  })
}

/** Resolves when each of the peers that are sought is reached and has a session, or relays have had their chance. */
export async function firstRelays(peers: Peers, paths: PathsSeen, clock: Waiting): Promise<void> {
  const isAwaited = (peer: DeviceId): boolean =>
    ['connecting', 'direct', 'relay'].includes(paths.status(peer).kind) && !paths.hasSession(peer)
  await whileSome(clock, (passedMs) => passedMs < RELAYS_MS && [...peers.keys()].some(isAwaited))
}

function knownOf(peers: Peers): readonly DeviceId[] {
  return [...peers].flatMap(([peer, { endpoints }]) => (endpoints === undefined ? [] : [peer]))
}

async function whileSome(clock: Waiting, isWaiting: (passedMs: number) => boolean): Promise<void> {
  const begunMs = clock.monotonicMs()
  while (isWaiting(clock.monotonicMs() - begunMs)) await clock.sleep(LOOK_MS)
}
