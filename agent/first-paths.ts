/** First paths: what a start waits for before it loads more code, which keeps the processor busy for longer than a check
 *  and a handshake take: direct paths before the mesh, and relays before the rest. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Paths } from './path/paths.ts'

/** Milliseconds that direct paths get: a long round trip, and a peer that was started a little later. */
const PATHS_MS = 150
/** Milliseconds, with these, until WireGuard's sessions are up on them: as much again; and where a peer is left that
 *  only a relay may reach, and that waits for the mesh meanwhile. */
const [SESSIONS_MS, SESSIONS_BESIDE_MS] = [500, 250]
/** Milliseconds that relays get, and the sessions by them. */
const RELAYS_MS = 500
/** Milliseconds between looks. */
const LOOK_MS = 5

type Peers = ReadonlyMap<DeviceId, { readonly endpoints?: object | undefined }>
type PathsSeen = Pick<Paths, 'status' | 'hasSession'>
type Waiting = Pick<Clock, 'monotonicMs' | 'sleep'>

/** Resolves when each of the peers that can be checked at once, for its candidates are known, is reached directly and
 *  has a session, or has had its chance. */
export async function firstPaths(peers: Peers, paths: PathsSeen, clock: Waiting): Promise<void> {
  const known = [...peers].filter(([, { endpoints }]) => endpoints !== undefined)
  const isDirect = (peer: DeviceId): boolean => paths.status(peer).kind === 'direct'
  await whileSome(clock, (passedMs) => {
    const areAllDirect = known.every(([peer]) => isDirect(peer))
    const sessionsMs = areAllDirect ? SESSIONS_MS : SESSIONS_BESIDE_MS
    return known.some(([peer]) => {
      if (!isDirect(peer)) return passedMs < PATHS_MS
      return !paths.hasSession(peer) && passedMs < sessionsMs
    })
  })
}

/** Resolves when each of the peers that are sought is reached and has a session, or relays have had their chance. */
export async function firstRelays(peers: Peers, paths: PathsSeen, clock: Waiting): Promise<void> {
  const isAwaited = (peer: DeviceId): boolean =>
    ['connecting', 'direct', 'relay'].includes(paths.status(peer).kind) && !paths.hasSession(peer)
  await whileSome(clock, (passedMs) => passedMs < RELAYS_MS && [...peers.keys()].some(isAwaited))
}

async function whileSome(clock: Waiting, isWaiting: (passedMs: number) => boolean): Promise<void> {
  const begunMs = clock.monotonicMs()
  while (isWaiting(clock.monotonicMs() - begunMs)) await clock.sleep(LOOK_MS)
}
