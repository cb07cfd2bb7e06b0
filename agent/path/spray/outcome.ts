/** How a round begins and ends, for either side, and when the next one may begin. */
import type { DeviceId } from '../../../protocol/keys.ts'
import { LASTING_MS, LONGEST_RETRY_MS, ROUND_SPACING_MS } from './limits.ts'
import type { Retry, Round, SprayAction, SprayPeer, SprayState, SprayStep } from './spray-state.ts'

/** No round is under way, and the last one ended long enough ago. */
export function isFree({ round, endedMs }: SprayState, nowMs: number): boolean {
  return round === undefined && endedMs + ROUND_SPACING_MS <= nowMs
}

/** What rounds with the peer have come to does not forbid another. */
export function isDue({ retries }: SprayState, peer: SprayPeer, nowMs: number): boolean {
  const retry = retries.get(peer.device)
  return retry === undefined || hasLasted(retry, peer) || retry.notBeforeMs <= nowMs
}

/** The path that was found served for a while: what was before does not count. */
function hasLasted({ foundMs }: Retry, { relayedMs }: SprayPeer): boolean {
  return Number.isFinite(relayedMs) && relayedMs - foundMs >= LASTING_MS
}

export function begun(state: SprayState, round: Round, peer: SprayPeer): SprayState {
  const retry = state.retries.get(peer.device)
  if (retry === undefined || !hasLasted(retry, peer)) return { ...state, round }
  return { ...state, round, retries: without(state.retries, peer.device) }
}

/** The round ends, for a path that it found or for `reason`. Either counts against the peer until a path has
 *  lasted: one that is found again and again is none. */
export function ended(
  state: SprayState,
  round: Round,
  nowMs: number,
  outcome: 'found' | { readonly reason: string },
): SprayStep {
  const { device } = round
  const isFound = outcome === 'found'
  const packets = packetsOf(round)
  const report: SprayAction = {
    kind: 'report',
    event: isFound ? 'found' : 'failed',
    ...{ device, packets, side: sideOf(round), ms: nowMs - round.sinceMs },
    ...(isFound ? {} : { reason: outcome.reason }),
  }
  return {
    state: {
      ...state,
      round: undefined,
      endedMs: packets > 0 ? nowMs : state.endedMs,
      retries: withFailure(state.retries, device, isFound ? nowMs : Infinity, nowMs),
    },
    actions: [report],
  }
}

export function sideOf({ kind }: Round): 'hard' | 'easy' {
  return kind === 'ready' || kind === 'spraying' ? 'easy' : 'hard'
}

function packetsOf(round: Round): number {
  if (round.kind === 'spraying') return round.sent
  return round.kind === 'open' ? round.openers : 0
}

/** @param foundMs when a path was found; Infinity: none was */
function withFailure(
  retries: SprayState['retries'],
  device: DeviceId,
  foundMs: number,
  nowMs: number,
): SprayState['retries'] {
  const failures = (retries.get(device)?.failures ?? 0) + 1
  const waitMs = Math.min(LONGEST_RETRY_MS, ROUND_SPACING_MS * 2 ** Math.min(failures - 1, 10))
  const live = [...retries].filter(
    ([known, { notBeforeMs }]) => known !== device && notBeforeMs + LONGEST_RETRY_MS > nowMs,
  )
  return new Map([...live, [device, { failures, foundMs, notBeforeMs: nowMs + waitMs }]])
}

function without(retries: SprayState['retries'], device: DeviceId): SprayState['retries'] {
  return new Map([...retries].filter(([known]) => known !== device))
}

/** The path that was found did not serve: it can't have lasted. */
export function unfound(state: SprayState, device: DeviceId): SprayState {
  const retry = state.retries.get(device)
  if (retry === undefined) return state
  return { ...state, retries: new Map(state.retries).set(device, { ...retry, foundMs: Infinity }) }
}

/** Packets that may leave now, and the moment from which the next are counted. Never more than `most` at once:
 *  what a late timer missed is not made up for. */
export function paced(
  batchMs: number,
  perSecond: number,
  most: number,
  nowMs: number,
): { readonly count: number; readonly batchMs: number } {
  const due = Math.floor(((nowMs - batchMs) * perSecond) / 1000)
  if (due > most) return { count: most, batchMs: nowMs }
  return { count: due, batchMs: batchMs + (due * 1000) / perSecond }
}
