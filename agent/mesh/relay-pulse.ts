/** Relay pulse: is a relay there, and is it reached by UDP? Pure: from what was heard of it and when, to what
 *  to ask and how to send (SPEC §12.3). While no datagrams of users flow nothing is asked.
 *
 *    none ──an offer──► idle ──datagrams──► probing ──pong that proves us──► up ◄──pong── doubted
 *                        ▲                    ▲  │ tries used up: a pause      │ no pong ──►│
 *                        └──no datagrams──────┴──┴─────────────────────────────┴──no pong──►┘ probing */

/** Datagrams passed so lately: the relay is in use. */
export const IN_USE_MS = 5000
/** Between pings of a way in use. */
export const PING_MS = 500
/** An answer is late after three round trips, at least and at most so many milliseconds. */
const PATIENCE_TRIPS = 3
const LEAST_PATIENCE_MS = 300
const MOST_PATIENCE_MS = 1500
/** The same before the first answer. */
const FIRST_PATIENCE_MS = 1000
/** Pings of full size in one try of UDP, and pauses between tries: networks that drop UDP rarely change. */
const TRIES = 4
const FIRST_PAUSE_MS = 5000
const LONGEST_PAUSE_MS = 60_000

export type Way = 'stream' | 'udp'
export type UdpPhase = 'none' | 'idle' | 'probing' | 'up' | 'doubted'

interface Asking {
  /** The first ping that is unanswered was sent; Infinity: none is. */
  readonly askedMs: number
  readonly pingedMs: number
  /** Infinity before the first answer. */
  readonly roundTripMs: number
}

export interface RelayPulse {
  readonly usedMs: number
  /** Anything at all came from the relay. */
  readonly heardMs: number
  readonly stream: Asking
  readonly udp: Asking & {
    readonly phase: UdpPhase
    readonly tries: number
    readonly nextMs: number
    readonly pauses: number
  }
}

export type PulseInput =
  /** A datagram of users went or came by the relay. */
  | { readonly kind: 'used' }
  | { readonly kind: 'heard'; readonly way: Way }
  /** `isProof`: it answers a ping that proved our address to the relay. */
  | {
      readonly kind: 'pong'
      readonly way: Way
      readonly roundTripMs: number
      readonly isProof: boolean
    }
  /** A session; the one in use again where our address has changed. */
  | { readonly kind: 'offered' }
  | { readonly kind: 'withdrawn' }
  | { readonly kind: 'tick' }

export type PulseAction =
  /** `isFull`: as long as the longest datagram, so that the way is proved for all. */
  | { readonly kind: 'ping'; readonly way: Way; readonly isFull: boolean }
  | { readonly kind: 'use'; readonly use: 'off' | 'both' | 'on' }

export interface PulseStep {
  readonly pulse: RelayPulse
  readonly actions: readonly PulseAction[]
}

const ASKING: Asking = { askedMs: Infinity, pingedMs: -Infinity, roundTripMs: Infinity }
export const NEW_PULSE: RelayPulse = {
  usedMs: -Infinity,
  heardMs: -Infinity,
  stream: ASKING,
  udp: { ...ASKING, phase: 'none', tries: 0, nextMs: -Infinity, pauses: 0 },
}

export function isInUse({ usedMs }: RelayPulse, nowMs: number): boolean {
  return nowMs - usedMs < IN_USE_MS
}

/** Nothing has come since a ping whose answer is late: datagrams should go by another relay. */
export function isDoubted(pulse: RelayPulse, nowMs: number): boolean {
  return (['stream', 'udp'] as const).some((way) => {
    const { askedMs } = pulse[way]
    return pulse.heardMs <= askedMs && nowMs - askedMs >= patienceMs(pulse, way)
  })
}

/** By which ways a datagram goes now. */
export function waysOf({ udp }: RelayPulse): readonly Way[] {
  if (udp.phase === 'up') return ['udp']
  return udp.phase === 'doubted' ? ['udp', 'stream'] : ['stream']
}

/** Total. `nowMs` must not go back. */
export function beat(pulse: RelayPulse, input: PulseInput, nowMs: number): PulseStep {
  switch (input.kind) {
    case 'used':
      return { pulse: { ...pulse, usedMs: nowMs }, actions: [] }
    case 'heard':
      return { pulse: heard(pulse, input.way, nowMs), actions: [] }
    case 'pong':
      return ponged(heard(pulse, input.way, nowMs), input, nowMs)
    case 'offered':
      return offered(pulse, nowMs)
    case 'withdrawn':
      return { pulse: withUdp(pulse, { ...ASKING, phase: 'none' }), actions: [] }
    case 'tick':
      return ticked(pulse, nowMs)
    default:
      return input satisfies never
  }
}

/** A way that was never measured is as long as the other. */
function patienceMs(pulse: RelayPulse, way: Way): number {
  const own = pulse[way].roundTripMs
  const roundTripMs =
    own === Infinity ? Math.min(pulse.stream.roundTripMs, pulse.udp.roundTripMs) : own
  if (roundTripMs === Infinity) return FIRST_PATIENCE_MS
  return Math.min(MOST_PATIENCE_MS, Math.max(LEAST_PATIENCE_MS, PATIENCE_TRIPS * roundTripMs))
}

function withUdp(pulse: RelayPulse, change: Partial<RelayPulse['udp']>): RelayPulse {
  return { ...pulse, udp: { ...pulse.udp, ...change } }
}

/** What comes by the stream answers for it: it is one connection. What comes by UDP says nothing about the
 *  way there. */
function heard(pulse: RelayPulse, way: Way, nowMs: number): RelayPulse {
  const { stream } = pulse
  const isAnswer = way === 'stream' && stream.askedMs !== Infinity
  return { ...pulse, heardMs: nowMs, stream: isAnswer ? { ...stream, askedMs: Infinity } : stream }
}

function ponged(
  pulse: RelayPulse,
  { way, roundTripMs, isProof }: PulseInput & { readonly kind: 'pong' },
  nowMs: number,
): PulseStep {
  if (way === 'stream') {
    return { pulse: { ...pulse, stream: { ...pulse.stream, roundTripMs } }, actions: [] }
  }
  const { phase } = pulse.udp
  if (phase === 'none' || phase === 'idle') return { pulse, actions: [] }
  // The relay does not know our address yet: it has just told what proves it.
  if (!isProof) return ping(withUdp(pulse, { roundTripMs }), 'udp', nowMs)
  const up = withUdp(pulse, { phase: 'up', askedMs: Infinity, roundTripMs, tries: 0, pauses: 0 })
  return { pulse: up, actions: phase === 'up' ? [] : [{ kind: 'use', use: 'on' }] }
}

function offered(pulse: RelayPulse, nowMs: number): PulseStep {
  const phase = isInUse(pulse, nowMs) ? 'probing' : 'idle'
  const fresh = { ...ASKING, phase, tries: 0, nextMs: nowMs, pauses: 0 } as const
  return { pulse: withUdp(pulse, fresh), actions: [] }
}

function ticked(pulse: RelayPulse, nowMs: number): PulseStep {
  if (!isInUse(pulse, nowMs)) return rested(pulse)
  const first = tickedUdp(pulse, nowMs)
  const second = tickedStream(first.pulse, nowMs)
  return { pulse: second.pulse, actions: [...first.actions, ...second.actions] }
}

/** A ping by the stream stays asked: a relay that was silent is so until something comes. */
function rested(pulse: RelayPulse): PulseStep {
  const { phase } = pulse.udp
  if (phase === 'none' || phase === 'idle') return { pulse, actions: [] }
  const isUsed = phase === 'up' || phase === 'doubted'
  return {
    pulse: withUdp(pulse, { phase: 'idle', askedMs: Infinity, tries: 0 }),
    actions: isUsed ? [{ kind: 'use', use: 'off' }] : [],
  }
}

function tickedUdp(pulse: RelayPulse, nowMs: number): PulseStep {
  const { udp } = pulse
  const lateMs = nowMs - udp.askedMs
  switch (udp.phase) {
    case 'none':
      return { pulse, actions: [] }
    case 'idle':
      return tickedUdp(withUdp(pulse, { phase: 'probing' }), nowMs)
    case 'probing':
      return probed(pulse, nowMs)
    case 'up':
      if (lateMs >= patienceMs(pulse, 'udp')) {
        const asked = ping(withUdp(pulse, { phase: 'doubted' }), 'udp', nowMs)
        return { ...asked, actions: [{ kind: 'use', use: 'both' }, ...asked.actions] }
      }
      return nowMs - udp.pingedMs >= PING_MS ? ping(pulse, 'udp', nowMs) : { pulse, actions: [] }
    case 'doubted':
      if (lateMs >= 2 * patienceMs(pulse, 'udp')) {
        const down = { phase: 'probing', askedMs: Infinity, tries: 0, nextMs: nowMs } as const
        return { pulse: withUdp(pulse, down), actions: [{ kind: 'use', use: 'off' }] }
      }
      return nowMs - udp.pingedMs >= patienceMs(pulse, 'udp') / 2
        ? ping(pulse, 'udp', nowMs)
        : { pulse, actions: [] }
    default:
      return udp.phase satisfies never
  }
}

function probed(pulse: RelayPulse, nowMs: number): PulseStep {
  const { tries, nextMs, pauses } = pulse.udp
  if (nowMs < nextMs) return { pulse, actions: [] }
  if (tries >= TRIES) {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** pauses)
    return {
      pulse: withUdp(pulse, { tries: 0, nextMs: nowMs + pauseMs, pauses: pauses + 1 }),
      actions: [],
    }
  }
  const againMs = nowMs + Math.max(LEAST_PATIENCE_MS, patienceMs(pulse, 'stream'))
  return ping(withUdp(pulse, { tries: tries + 1, nextMs: againMs }), 'udp', nowMs)
}

function tickedStream(pulse: RelayPulse, nowMs: number): PulseStep {
  const { stream, udp, heardMs } = pulse
  if (udp.phase === 'up' || stream.askedMs !== Infinity) return { pulse, actions: [] }
  const isQuiet = nowMs - Math.max(heardMs, stream.pingedMs) >= PING_MS
  return isQuiet || (udp.phase === 'doubted' && heardMs < udp.askedMs)
    ? ping(pulse, 'stream', nowMs)
    : { pulse, actions: [] }
}

/** While UDP is probed its pings are of full size, and none counts as missing. */
function ping(pulse: RelayPulse, way: Way, nowMs: number): PulseStep {
  const isFull = way === 'udp' && pulse.udp.phase === 'probing'
  const asking = pulse[way]
  const askedMs = isFull ? Infinity : Math.min(asking.askedMs, nowMs)
  const asked = { askedMs, pingedMs: nowMs }
  return {
    pulse:
      way === 'udp' ? withUdp(pulse, asked) : { ...pulse, stream: { ...pulse.stream, ...asked } },
    actions: [{ kind: 'ping', way, isFull }],
  }
}
