/** First paths: what a start waits for before it loads the mesh, which keeps the processor busy for longer than
 *  a check and a handshake take. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Paths } from './path/paths.ts'

/** Milliseconds that direct paths get: a long round trip, and a peer that was started a little later. */
const PATHS_MS = 150
/** Milliseconds, with these, until WireGuard's sessions are up on them: as much again. */
const SESSIONS_MS = 500
/** Milliseconds between looks. */
const LOOK_MS = 5

/** Resolves when each of the peers that can be checked at once, for its candidates are known, is reached directly and
 *  has a session, or has had its chance. */
export async function firstPaths(
  peers: ReadonlyMap<DeviceId, { readonly endpoints?: object | undefined }>,
  paths: Pick<Paths, 'status' | 'hasSession'>,
  clock: Pick<Clock, 'monotonicMs' | 'sleep'>,
): Promise<void> {
  const known = [...peers].filter(([, { endpoints }]) => endpoints !== undefined)
  const begunMs = clock.monotonicMs()
  const isWaitedFor = (peer: DeviceId): boolean => {
    const passedMs = clock.monotonicMs() - begunMs
    if (paths.status(peer).kind !== 'direct') return passedMs < PATHS_MS
    return !paths.hasSession(peer) && passedMs < SESSIONS_MS
  }
  while (known.some(([device]) => isWaitedFor(device))) await clock.sleep(LOOK_MS)
}
