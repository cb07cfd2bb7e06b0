/** Drives a path MTU machine on a virtual clock, over a path that the test makes narrower and wider. */
import { type PathMtuAction, type PathMtuInput, stepPathMtu } from '../../../agent/path/path-mtu.ts'
import {
  initialPathMtu,
  type PathMtuState,
  pathMtuDueMs,
} from '../../../agent/path/path-mtu-state.ts'
import { type Endpoint, parseEndpoint } from '../../../protocol/address.ts'

export const ENDPOINT = parseEndpoint('198.51.100.7:51820')

/** What lies between the two. Sizes are of packets inside the tunnel. */
export interface PathWorld {
  /** The largest that passes; the rest is lost without a word. */
  carries: number
  /** The largest that the kernel sends in one piece. */
  kernelKnows: number
  roundTripMs: number
  /** Is this datagram lost, whatever its size? */
  isLost(): boolean
  /** Whether packets of users pass all the time. */
  hasTraffic: boolean
}

export interface MtuDriver {
  readonly state: PathMtuState
  readonly nowMs: number
  readonly done: readonly { readonly atMs: number; readonly action: PathMtuAction }[]
  /** Every MTU that was told, with its moment. */
  readonly told: readonly { readonly atMs: number; readonly mtu: number }[]
  give(input: PathMtuInput): void
  runFor(ms: number): void
}

export function path(endpoint: Endpoint | undefined, most = 1420, roundTripMs = 40): PathMtuInput {
  return { kind: 'path', endpoint, roundTripMs, most }
}

/** Milliseconds between two looks at WireGuard's counters. */
const LOOK_MS = 250

export function driveMtu(world: PathWorld, most = 1420): MtuDriver {
  let state = initialPathMtu(most)
  let nowMs = 0
  let order = 0
  let bytes = 0
  const done: { atMs: number; action: PathMtuAction }[] = []
  const told: { atMs: number; mtu: number }[] = []
  let waiting: { atMs: number; order: number; inputs: () => readonly PathMtuInput[] }[] = []
  const later = (afterMs: number, inputs: () => readonly PathMtuInput[]): void => {
    waiting = [...waiting, { atMs: nowMs + afterMs, order: order++, inputs }].toSorted(
      (a, b) => a.atMs - b.atMs || a.order - b.order,
    )
  }
  const known = (): PathMtuInput => ({ kind: 'looked', maxPlpmtu: world.kernelKnows })
  const react = (action: PathMtuAction): void => {
    if (action.kind === 'look') later(5, () => [known()])
    else if (!world.isLost()) {
      const isCut = action.kind === 'send-probe' && action.size > world.kernelKnows
      const passes = action.kind === 'send-check' || isCut || action.size <= world.carries
      if (!passes) return
      later(world.roundTripMs, () =>
        action.kind === 'send-check'
          ? [{ kind: 'check-answered', roundTripMs: world.roundTripMs }]
          : [
              known(),
              { kind: 'probe-answered', size: action.size, roundTripMs: world.roundTripMs },
            ],
      )
    }
  }
  const take = (input: PathMtuInput): void => {
    const stepped = stepPathMtu(state, input, nowMs)
    if (stepped.state.mtu !== state.mtu) told.push({ atMs: nowMs, mtu: stepped.state.mtu })
    state = stepped.state
    for (const action of stepped.actions) {
      done.push({ atMs: nowMs, action })
      react(action)
    }
  }
  let lookMs = LOOK_MS
  return {
    get state() {
      return state
    },
    get nowMs() {
      return nowMs
    },
    done,
    told,
    give: take,
    runFor: (ms) => {
      const untilMs = nowMs + ms
      for (let steps = 0; ; steps++) {
        if (steps > 400_000) throw new Error(`no end at ${nowMs} ms: ${JSON.stringify(state)}`)
        const first = waiting[0]
        const atMs = Math.min(first?.atMs ?? Infinity, pathMtuDueMs(state), lookMs)
        if (atMs > untilMs) break
        nowMs = Math.max(nowMs, atMs)
        if (first !== undefined && first.atMs <= nowMs) {
          waiting = waiting.slice(1)
          for (const input of first.inputs()) take(input)
        } else if (lookMs <= nowMs) {
          lookMs = nowMs + LOOK_MS
          bytes += world.hasTraffic ? 3000 : 0
          take({ kind: 'counters', sent: bytes, received: bytes })
        } else take({ kind: 'tick' })
      }
      nowMs = untilMs
    },
  }
}

export function wide(changes: Partial<PathWorld> = {}): PathWorld {
  return {
    carries: 1420,
    kernelKnows: 1420,
    roundTripMs: 40,
    isLost: () => false,
    hasTraffic: true,
    ...changes,
  }
}
