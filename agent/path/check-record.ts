/** Check record: what became of connectivity checks, by peer and endpoint. It decides nothing; it is for
 *  people who ask why. */
import { type Endpoint, formatEndpoint } from '../../protocol/address.ts'
import type { DropEvidence, Evidence } from '../../protocol/evidence.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { EVIDENCE_DROPS } from '../../protocol/limits.ts'
import type { CheckPath, Checks, Received } from './checks.ts'

/** Endpoints remembered for each peer, and sources of dropped datagrams in all; the one that was quiet for
 *  longest goes first. */
const ENDPOINTS = 48
const SOURCES = 256
/** Requests in a row that nobody at all answered, to STUN servers and to members, over how many milliseconds,
 *  until UDP as a whole is said to be unanswered. A server that answers is asked once in a while, a silent one
 *  again and again; members may just be off. */
const UNANSWERED = { asked: 3, checks: 3, overMs: 4000 } as const

/** Moments on the machine's clock; -Infinity: never. */
export interface CheckCounts {
  readonly sent: number
  readonly answered: number
  readonly received: number
  readonly sentMs: number
  readonly answeredMs: number
  readonly receivedMs: number
  /** Of the last answer; Infinity before. */
  readonly roundTripMs: number
}

export const NO_CHECKS: CheckCounts = {
  sent: 0,
  answered: 0,
  received: 0,
  sentMs: -Infinity,
  answeredMs: -Infinity,
  receivedMs: -Infinity,
  roundTripMs: Infinity,
}

export interface RecordedChecks extends Checks {
  /** A request to a member where it may be: one of so many that they would fill the record. */
  spray(device: DeviceId, path: Endpoint, nowMs: number): Uint8Array | undefined
}

export class CheckRecord {
  readonly #peers = new Map<DeviceId, Map<string, CheckCounts>>()
  readonly #drops = new Map<string, Map<string, number>>()
  #answeredMs = -Infinity
  #unanswered: { asked: number; checks: number; readonly sinceMs: number } | undefined

  /** The same checks, recorded. */
  watching(checks: Checks): RecordedChecks {
    return {
      setPeers: (peers) => {
        for (const device of this.#peers.keys()) if (!peers.has(device)) this.#peers.delete(device)
        checks.setPeers(peers)
      },
      request: (device, path, nowMs, probed) => {
        const request = checks.request(device, path, nowMs, probed)
        if (request !== undefined) this.sent(device, path, nowMs)
        return request
      },
      ask: (server, nowMs) => {
        this.#requested('asked', nowMs)
        return checks.ask(server, nowMs)
      },
      askMember: (device, endpoint, nowMs) => {
        const request = checks.askMember(device, endpoint, nowMs)
        if (request !== undefined) this.sent(device, endpoint, nowMs)
        return request
      },
      spray: checks.request.bind(checks),
      hairpin: checks.hairpin.bind(checks),
      receive: (datagram, from, nowMs, via) => {
        const received = checks.receive(datagram, from, nowMs, via)
        this.received(received, from, nowMs)
        return received
      },
    }
  }

  /** A check to `device`. */
  sent(device: DeviceId, path: CheckPath, nowMs: number): void {
    this.#count(device, path, (known) => ({ ...known, sent: known.sent + 1, sentMs: nowMs }))
    if (typeof path !== 'string') this.#requested('checks', nowMs)
  }

  received(received: Received, from: CheckPath, nowMs: number): void {
    if (received.kind === 'dropped') {
      if (typeof from !== 'string') this.#dropped(from, received.reason)
      return
    }
    if (typeof from !== 'string') {
      this.#answeredMs = nowMs
      this.#unanswered = undefined
    }
    if (received.kind === 'request') {
      this.#count(received.device, from, (known) => ({
        ...known,
        received: known.received + 1,
        receivedMs: nowMs,
      }))
    }
    if (received.kind === 'answer') {
      const { roundTripMs } = received
      this.#count(received.device, from, (known) => ({
        ...known,
        answered: known.answered + 1,
        answeredMs: nowMs,
        roundTripMs,
      }))
    }
  }

  countsOf(device: DeviceId, path: CheckPath): CheckCounts {
    return this.#peers.get(device)?.get(nameOf(path)) ?? NO_CHECKS
  }

  /** Of datagrams from these endpoints, the most frequent reason first. */
  dropsFrom(endpoints: readonly Endpoint[]): readonly DropEvidence[] {
    const sums = new Map<string, number>()
    for (const name of new Set(endpoints.map(formatEndpoint))) {
      for (const [reason, count] of this.#drops.get(name) ?? []) {
        sums.set(reason, (sums.get(reason) ?? 0) + count)
      }
    }
    return [...sums]
      .map(([reason, count]) => ({ reason, count }))
      .toSorted((a, b) => b.count - a.count)
      .slice(0, EVIDENCE_DROPS)
  }

  /** Does UDP pass at all, whoever is at the other end? */
  udp(nowMs: number): Evidence['udp'] {
    const waiting = this.#unanswered
    if (
      waiting !== undefined &&
      waiting.asked >= UNANSWERED.asked &&
      waiting.checks >= UNANSWERED.checks &&
      nowMs - waiting.sinceMs >= UNANSWERED.overMs
    ) {
      return 'unanswered'
    }
    return this.#answeredMs === -Infinity ? 'unknown' : 'answered'
  }

  #requested(kind: 'asked' | 'checks', nowMs: number): void {
    this.#unanswered ??= { asked: 0, checks: 0, sinceMs: nowMs }
    this.#unanswered[kind] += 1
  }

  #count(device: DeviceId, path: CheckPath, change: (known: CheckCounts) => CheckCounts): void {
    const counts = this.#peers.get(device) ?? new Map<string, CheckCounts>()
    this.#peers.set(device, counts)
    putNewest(counts, nameOf(path), change(counts.get(nameOf(path)) ?? NO_CHECKS), ENDPOINTS)
  }

  #dropped(from: Endpoint, reason: string): void {
    const reasons = this.#drops.get(formatEndpoint(from)) ?? new Map<string, number>()
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    putNewest(this.#drops, formatEndpoint(from), reasons, SOURCES)
  }
}

/** All relays count as one. */
function nameOf(path: CheckPath): string {
  return typeof path === 'string' ? 'relay' : formatEndpoint(path)
}

function putNewest<T>(map: Map<string, T>, name: string, value: T, most: number): void {
  map.delete(name)
  const oldest = map.keys().next()
  if (map.size >= most && oldest.done !== true) map.delete(oldest.value)
  map.set(name, value)
}
