/** Looks at WireGuard's state: often while peers are active, seldom while all are idle, and soon when
 *  something is expected. One look at a time. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import type { Tunnel, TunnelPeerStats } from '../tunnel/backend.ts'
import { isOnline, isResting, isSessionUp, type PathState } from './path-state.ts'

/** Milliseconds between looks. One at a thousand peers takes wireguard-go 6 ms, and the kernel's, by a
 *  process, 12: they are never more than a fortieth of the time. */
const LOOK_MS = { busy: 250, resting: 1000, idle: 5000 } as const
const PAUSE_PER_LOOK = 40
/** Looks that are asked for are no closer than this, milliseconds. */
const SPACING_MS = 20

/** Of the most active peer: users' packets pass; none lately; nobody asks for it. */
export type Activity = keyof typeof LOOK_MS

/** How closely WireGuard is to be looked at for one peer. One that is sought in vain shows nothing new: what answers an
 *  initiation answers checks, too, and then it is looked at at once. */
export function activityOf(state: PathState, nowMs: number): Activity {
  if (state.phase.kind === 'idle') return 'idle'
  if (isUnheard(state, nowMs))
    return state.session.initiatedMs + HANDSHAKE_MS > nowMs ? 'resting' : 'idle'
  return isResting(state, nowMs) ? 'resting' : 'busy'
}

function isUnheard(state: PathState, nowMs: number): boolean {
  return state.phase.kind === 'connecting' && !isSessionUp(state, nowMs) && !isOnline(state, nowMs)
}
/** A handshake is done within so many milliseconds of its initiation, or not at all. */
const HANDSHAKE_MS = 10_000

/** How closely WireGuard is to be looked at for all peers. */
export function mostActive(peers: Iterable<{ readonly activity: Activity }>): Activity {
  let most: Activity = 'idle'
  for (const { activity } of peers) {
    if (activity === 'busy') return activity
    if (activity === 'resting') most = activity
  }
  return most
}

export interface TunnelLooks {
  /** A look within so many milliseconds, or little later. */
  soon(afterMs: number): void
  close(): Promise<void>
}

export function startLooks(options: {
  readonly tunnel: Pick<Tunnel, 'stats'>
  readonly clock: Clock
  readonly log: Log
  activity(): Activity
  onStats(stats: readonly TunnelPeerStats[]): void
}): TunnelLooks {
  const { clock, log, tunnel } = options
  let timer: Cancellable | undefined
  let looking: Promise<void> | undefined
  let isClosed = false
  let pauseMs = 0
  /** Moments at which a look is wanted. */
  let wanted: number[] = []

  const look = async (): Promise<void> => {
    const beganMs = clock.monotonicMs()
    try {
      const stats = await tunnel.stats()
      if (!isClosed) options.onStats(stats)
    } catch (error) {
      log('debug', 'tunnel.look-failed', { reason: explain(error) })
    }
    looking = undefined
    pauseMs = (clock.monotonicMs() - beganMs) * PAUSE_PER_LOOK
    schedule(Math.max(pauseMs, LOOK_MS[options.activity()]))
  }
  const begin = (): void => {
    const nowMs = clock.monotonicMs()
    wanted = wanted.filter((momentMs) => momentMs > nowMs)
    looking = look()
  }
  const schedule = (regularMs: number): void => {
    timer?.cancel()
    if (isClosed || looking !== undefined) return
    const nowMs = clock.monotonicMs()
    const nextMs = Math.min(nowMs + regularMs, ...wanted)
    timer = clock.after(Math.max(SPACING_MS, Math.ceil(nextMs - nowMs)), begin)
  }
  schedule(LOOK_MS.busy)
  return {
    soon: (afterMs) => {
      const momentMs = clock.monotonicMs() + afterMs
      if (wanted.some((other) => Math.abs(other - momentMs) < SPACING_MS)) return
      wanted = [...wanted, momentMs]
      schedule(Math.max(pauseMs, LOOK_MS.busy))
    },
    close: async () => {
      isClosed = true
      timer?.cancel()
      await looking
    },
  }
}
