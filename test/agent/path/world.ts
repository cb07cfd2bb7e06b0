/** Drives path machines on a virtual clock: actions go to a network of the test's choosing, which answers
 *  with inputs at later moments. */
import { type PathAction, type PathInput, step } from '../../../agent/path/machine.ts'
import { initialState, type PathState } from '../../../agent/path/path-state.ts'
import { nextTickMs } from '../../../agent/path/settle.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'

export interface Done {
  readonly atMs: number
  readonly action: PathAction
  /** After the step that ordered it. */
  readonly state: PathState
}

export interface Driver {
  readonly state: PathState
  readonly nowMs: number
  readonly done: readonly Done[]
  /** Gives an input at a moment. */
  give(input: PathInput, atMs?: number): void
  runUntil(untilMs: number): void
}

/** @param react what the world answers to an action; `later` gives an input after so many milliseconds */
export function drive(
  initial: PathState,
  react: (action: PathAction, later: (afterMs: number, input: PathInput) => void) => void,
  startMs = 0,
): Driver {
  let state = initial
  let nowMs = startMs
  let order = 0
  let hasBegun = false
  const done: Done[] = []
  const waiting: { atMs: number; order: number; input: PathInput }[] = []
  const give = (input: PathInput, atMs: number): void => {
    waiting.push({ atMs, order: order++, input })
    waiting.sort((a, b) => a.atMs - b.atMs || a.order - b.order)
  }
  const take = (input: PathInput): void => {
    hasBegun = true
    const stepped = step(state, input, nowMs)
    state = stepped.state
    for (const action of stepped.actions) {
      done.push({ atMs: nowMs, action, state })
      react(action, (afterMs, answer) => give(answer, nowMs + afterMs))
    }
  }
  return {
    get state() {
      return state
    },
    get nowMs() {
      return nowMs
    },
    done,
    give: (input, atMs = nowMs) => give(input, atMs),
    runUntil: (untilMs) => {
      for (let steps = 0; ; steps++) {
        if (steps > 200_000) throw new Error(`no end at ${nowMs} ms: ${JSON.stringify(state)}`)
        const tickMs = hasBegun ? nextTickMs(state, nowMs) : nowMs
        const first = waiting[0]
        const atMs = Math.min(first?.atMs ?? Infinity, tickMs)
        if (atMs > untilMs) break
        nowMs = Math.max(nowMs, atMs)
        if (first !== undefined && first.atMs <= nowMs) {
          waiting.shift()
          take(first.input)
        } else take({ kind: 'tick' })
      }
      nowMs = Math.max(nowMs, untilMs)
    },
  }
}

export const LAN = parseEndpoint('192.168.1.20:51820')
export const PUBLIC = parseEndpoint('198.51.100.7:51820')
export const REFLEXIVE = parseEndpoint('198.51.100.7:40000')
export const candidates: readonly Candidate[] = [
  { kind: 'host', ...LAN },
  { kind: 'server-reflexive', ...PUBLIC },
]

export interface Network {
  /** Round-trip time of each endpoint that answers, by its text; missing: no answer. */
  direct: Map<string, number>
  /** Round-trip time by the relay; undefined: no relay. */
  relay: number | undefined
  /** Does a woken WireGuard get its handshake done over any path? */
  handshakes: boolean
}

export function network(direct: [typeof LAN, number][], relay?: number): Network {
  return {
    direct: new Map(direct.map(([endpoint, rtt]) => [endpoint.address + endpoint.port, rtt])),
    relay,
    handshakes: true,
  }
}

export function start(
  world: Network,
  initial: PathState = initialState(true, candidates, 0),
  startMs = 0,
) {
  return drive(
    initial,
    (action, later) => {
      switch (action.kind) {
        case 'send-check': {
          const rtt = world.direct.get(action.endpoint.address + action.endpoint.port)
          if (rtt !== undefined) {
            later(rtt, { kind: 'check-answered', endpoint: action.endpoint, roundTripMs: rtt })
          }
          break
        }
        case 'send-relay-check':
          later(0, { kind: 'relay', available: world.relay !== undefined })
          if (world.relay !== undefined) {
            later(world.relay, { kind: 'relay-check-answered', roundTripMs: world.relay })
          }
          break
        case 'wake':
          later(1, { kind: 'wireguard-sent', message: 'initiation' })
          if (world.handshakes) later(100, { kind: 'wireguard-sent', message: 'keepalive' })
          break
        default:
      }
    },
    startMs,
  )
}

export const kinds = (done: readonly { readonly action: PathAction }[]) =>
  done.map(({ action }) => action.kind)
/** WireGuard shows nothing new. */
export const SEEN = {
  kind: 'tunnel',
  handshakeMs: -Infinity,
  receivedBytes: 0,
  sentBytes: 0,
  endpoint: undefined,
} as const
