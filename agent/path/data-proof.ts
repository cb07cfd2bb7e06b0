/** Data-plane verification: a path whose checks pass may still swallow WireGuard (networks that know its messages,
 *  a firewall on one port, an MTU that is too small). The peer tells in every answer how much its WireGuard has
 *  received; where this side sends and that does not grow, the path is blocked: it is left for the relay, and tried
 *  again after a while that doubles. */
import type { PathAction, Step } from './machine.ts'
import { type CandidatePair, pairAt, replacePair } from './pairs.ts'
import {
  type DataProof,
  directPair,
  isBlocked,
  isRelayProved,
  NO_PROOF,
  type PathState,
} from './path-state.ts'
import {
  BLOCK_MS,
  INITIATION_BYTES,
  KEEPALIVE_BYTES,
  LONGEST_BLOCK_MS,
  PROOF_AGAIN_MS,
  PROOF_ANSWERS_MS,
  PROOF_CHECK_MS,
  PROOF_SENDS,
  PROOF_SMALL_ANSWERS_MS,
  RESPONSE_BYTES,
  SMALL_BYTES,
} from './timing.ts'

/** WireGuard was seen to have sent `bytes` more since the last look. Keepalives do not count: wireguard-go does not
 *  count those that it receives. Nor do handshakes: where both sides initiate at once they come to nothing on a path
 *  that is well. */
export function dataSent(state: PathState, bytes: number, nowMs: number): PathState {
  const { proof, told } = state
  if (told === undefined || proof.received === undefined) return state
  // What the first look shows may have been sent, and have arrived, before the peer told its count.
  if (!proof.isCounting) return { ...state, proof: { ...proof, isCounting: true } }
  if (withoutHandshake(bytes) <= KEEPALIVE_BYTES) return state
  const sinceMs = Math.min(proof.sinceMs, nowMs)
  const [sends, smalls] = [proof.sends + 1, proof.smalls + Number(bytes <= SMALL_BYTES)]
  return { ...state, proof: { ...proof, sends, smalls, sinceMs } }
}

/** Data messages are filled up to whole blocks of 16 bytes (whitepaper §5.4.6), handshake messages are not. */
function withoutHandshake(bytes: number): number {
  const message = [INITIATION_BYTES, RESPONSE_BYTES].find((size) => size % 16 === bytes % 16)
  return bytes - (message ?? 0)
}

/** The peer's count, in an answer by the endpoint that WireGuard was told. */
export function dataReceived(state: PathState, received: number, nowMs: number): PathState {
  const { proof, told } = state
  const pair = pairAt(state.pairs, told)
  if (pair === undefined) return state
  if (proof.received === undefined) return { ...state, proof: { ...NO_PROOF, received } }
  if (received !== proof.received) {
    const unblocked = { ...pair, blocks: 0 }
    return {
      ...state,
      pairs: replacePair(state.pairs, unblocked),
      proof: { ...NO_PROOF, received },
    }
  }
  if (nowMs - proof.sinceMs < PROOF_CHECK_MS) return state
  return { ...state, proof: { ...proof, staleMs: Math.min(proof.staleMs, nowMs), isStale: true } }
}

/** When to ask the peer for its count again, before a heartbeat does; Infinity: what comes back proves enough. */
export function proofDueMs(state: PathState): number {
  const pair = directPair(state)
  const { proof, told } = state
  if (told === undefined || pair === undefined || proof.received === undefined) return Infinity
  if (proof.sinceMs === Infinity || !state.isSilent) return Infinity
  return Math.max(proof.sinceMs, pair.sentMs) + PROOF_CHECK_MS
}

/** Leaves the pair in use alone where two answers, apart, said that nothing of what was sent has arrived, and there
 *  is another path; else sees whether the relay is one. */
export function settleProof(state: PathState, nowMs: number): Step {
  const { proof } = state
  const pair = directPair(state)
  const isOld = nowMs - proof.staleMs >= answersMs(proof, pair)
  const isLost = proof.sends >= PROOF_SENDS && proof.isStale && isOld
  if (pair === undefined || !isLost) return { state, actions: [] }
  if (!hasOther(state, pair, nowMs)) {
    const relay = { ...state.relay, dueMs: nowMs }
    return { state: { ...state, relay, proof: { ...proof, staleMs: nowMs } }, actions: [] }
  }
  const forMs = Math.min(LONGEST_BLOCK_MS, BLOCK_MS * 2 ** Math.min(pair.blocks, 10))
  const blocked = {
    ...pair,
    blocks: pair.blocks + 1,
    blockedUntilMs: nowMs + forMs,
    trustedUntilMs: nowMs,
    dueMs: nowMs + forMs,
  }
  const action: PathAction = { kind: 'report-blocked', endpoint: pair.endpoint, forMs }
  return {
    state: { ...state, pairs: replacePair(state.pairs, blocked), proof: NO_PROOF },
    actions: [action],
  }
}

/** Between the first answer that counts and the one that decides. */
function answersMs({ smalls }: DataProof, pair: CandidatePair | undefined): number {
  if (pair !== undefined && pair.blocks > 0) return PROOF_AGAIN_MS
  return smalls >= PROOF_SENDS ? PROOF_SMALL_ANSWERS_MS : PROOF_ANSWERS_MS
}

function hasOther(state: PathState, pair: CandidatePair, nowMs: number): boolean {
  const isOther = (one: CandidatePair): boolean =>
    one !== pair && one.trustedUntilMs > nowMs && !isBlocked(state, one, nowMs)
  return isRelayProved(state, nowMs) || state.pairs.some(isOther)
}
