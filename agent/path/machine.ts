/** The path machine of one peer: from what happened to what to do. Pure: no I/O, no clock.
 *
 *                    a datagram of WireGuard's or of the peer's, a punch
 *            ┌──────┐ ───────────────────────────────────────► ┌────────────┐
 *      ┌───► │ idle │                                          │ connecting │ ◄── a new peer
 *      │     └──────┘ ◄─────── nobody asked for 5 min ──────── └────────────┘
 *      │        ▲                                          relay │ ▲      │
 *      │        │ no traffic for 5 min                    proved │ │ relay│ a check was
 *      │        │                                                ▼ │ lost │ answered
 *      │        └───────────────────────────────────── ┌─────────┐ │      │
 *      │                                               │ relayed │─┘      │
 *      │                                               └─────────┘        │
 *      │                                      a check was │ ▲ trust       │
 *      │                                         answered ▼ │ ended       ▼
 *      │ no traffic for 5 min, and a relay          ┌────────────────────────┐
 *      └─────────────────────────────────────────── │ direct (endpoint, RTT, │──┐ a better pair
 *                                                   │ trusted until)         │◄─┘ was proved
 *                                                   └────────────────────────┘
 *
 *  Make before break: WireGuard is told a direct endpoint only after an authenticated answer from it,
 *  and is told to leave it only for a path that is proved itself. Where no session is up, WireGuard's
 *  endpoint is the loopback socket whatever the phase: so its initiations pass through the agent, which
 *  decides who initiates (handshake.ts), repeats them, and sends them on the best path there is.
 *
 *  Rounds of checks need no jitter: that both sides check at the same moments is what opens two NATs. */
import type { Endpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { absorb } from './absorb.ts'
import type { PathState } from './path-state.ts'
import { settle } from './settle.ts'

export type PathInput =
  /** The peer's candidates are now these. */
  | { readonly kind: 'peer-candidates'; readonly candidates: readonly Candidate[] }
  /** Our own candidates changed: the peer should hear of it. */
  | { readonly kind: 'local-candidates' }
  /** A relay took, or no relay took, a datagram for the peer. */
  | { readonly kind: 'relay'; readonly available: boolean }
  /** The mesh's connections changed: a relay may have come or gone. */
  | { readonly kind: 'relays-changed' }
  /** The peer answered our check at `endpoint`. */
  | {
      readonly kind: 'check-answered'
      readonly endpoint: Endpoint
      readonly roundTripMs: number
      /** What the peer's WireGuard has received of ours, as the answer says; undefined: it says nothing. */
      readonly receivedBytes?: number | undefined
    }
  /** The peer's check came from `endpoint` (the shell has answered it). */
  | { readonly kind: 'check-received'; readonly endpoint: Endpoint }
  | { readonly kind: 'relay-check-answered'; readonly roundTripMs: number }
  | { readonly kind: 'relay-check-received' }
  /** The peer asks to be checked now; its candidates may be newer than its endpoint update. */
  | { readonly kind: 'punched'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'network-changed' }
  /** What WireGuard shows. `handshakeMs` on the machine's clock, -Infinity for never; `endpoint`
   *  undefined for the loopback socket. */
  | {
      readonly kind: 'tunnel'
      readonly handshakeMs: number
      readonly receivedBytes: number
      readonly sentBytes: number
      readonly endpoint: Endpoint | undefined
    }
  /** WireGuard gave the loopback socket a datagram; the last two belong to a session that is up. */
  | {
      readonly kind: 'wireguard-sent'
      readonly message: 'initiation' | 'response' | 'keepalive' | 'data'
    }
  /** The tunnel has done what `wake` asked for. */
  | { readonly kind: 'woken' }
  /** A WireGuard datagram of the peer came by the relay. */
  | { readonly kind: 'relayed-datagram' }
  | { readonly kind: 'tick' }

export type PathAction =
  | { readonly kind: 'send-check'; readonly endpoint: Endpoint }
  | { readonly kind: 'send-relay-check' }
  | { readonly kind: 'send-punch' }
  /** Ask the STUN servers: our mapping may be another. */
  | { readonly kind: 'refresh-mapping' }
  /** Tell WireGuard this endpoint, be it the first time or again. What is still under way from `others` must not take
   *  it back there: this side's choice stands. */
  | {
      readonly kind: 'use-direct'
      readonly endpoint: Endpoint
      readonly others: readonly Endpoint[]
    }
  /** Tell WireGuard the loopback socket. */
  | { readonly kind: 'use-relay' }
  /** The path lets checks through and WireGuard not: it is left alone for so long. */
  | { readonly kind: 'report-blocked'; readonly endpoint: Endpoint; readonly forMs: number }
  /** Make WireGuard initiate now: persistent keepalive off and on. */
  | { readonly kind: 'wake' }
  /** Persistent keepalive off; the peer anew where `restart`, which ends WireGuard's retries. */
  | { readonly kind: 'rest'; readonly restart: boolean }
  /** Remove and add the peer: only where no session is up. */
  | { readonly kind: 'restart-peer' }

export interface Step {
  readonly state: PathState
  readonly actions: readonly PathAction[]
}

/** Total. `nowMs` must not go back from one call to the next. */
export function step(state: PathState, input: PathInput, nowMs: number): Step {
  return settle(absorb(state, input, nowMs), nowMs)
}
