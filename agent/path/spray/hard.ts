/** The hard side: behind a NAT with a new mapping for each destination. It opens many mappings to the easy side's
 *  one endpoint, and waits until one of the easy side's probes meets one of them. */
import { sameEndpoint } from '../../../protocol/address.ts'
import {
  ANSWER_MS,
  BATCH,
  HELD_PATHS,
  OPEN_MS,
  OPENER_PASSES,
  OPENERS_AGAIN_MS,
  OPENERS_PER_SECOND,
  PACKETS_MS,
  RELAYED_MS,
  SPRAY_SOCKETS,
  UNUSED_MS,
} from './limits.ts'
import { begun, ended, isDue, isFree, paced, unfound } from './outcome.ts'
import { sprayAddresses } from './pays.ts'
import type {
  HardRound,
  HeldPath,
  SprayAction,
  SprayFacts,
  SprayInput,
  SprayPeer,
  SprayState,
  SprayStep,
} from './spray-state.ts'

/** Asks the first peer for which it pays. */
export function seek(state: SprayState, facts: SprayFacts, nowMs: number): SprayStep {
  if (!isFree(state, nowMs) || state.held.length >= HELD_PATHS) return { state, actions: [] }
  for (const peer of facts.peers()) {
    if (!isWanting(state, peer, nowMs)) continue
    const addresses = sprayAddresses(facts.own, peer)
    if (addresses === undefined) continue
    const { device } = peer
    const round: HardRound = { kind: 'asking', device, ...addresses, sinceMs: nowMs }
    return {
      state: begun(state, round, peer),
      actions: [{ kind: 'say', device, spray: { step: 'ask', address: addresses.address } }],
    }
  }
  return { state, actions: [] }
}

function isWanting(state: SprayState, peer: SprayPeer, nowMs: number): boolean {
  return (
    peer.relayedMs + RELAYED_MS <= nowMs &&
    peer.packetsMs + PACKETS_MS >= nowMs &&
    isDue(state, peer, nowMs) &&
    !state.held.some(({ device }) => device === peer.device)
  )
}

export function hardTold(
  state: SprayState,
  { device, spray }: SprayInput & { readonly kind: 'told' },
  nowMs: number,
): SprayStep {
  const { round } = state
  const isExpected =
    round?.kind === 'asking' && round.device === device && round.address === spray.address
  if (!isExpected || spray.step !== 'ready') return { state, actions: [] }
  return {
    state: { ...state, round: { ...round, kind: 'opening', sinceMs: nowMs } },
    actions: [{ kind: 'open', device, target: round.target }],
  }
}

export function opened(
  state: SprayState,
  { device }: SprayInput & { readonly kind: 'opened' },
  nowMs: number,
): SprayStep {
  const { round } = state
  // The round is over: nothing may stay open.
  if (round?.kind !== 'opening' || round.device !== device)
    return { state, actions: [{ kind: 'close' }] }
  const open: HardRound = { ...round, kind: 'open', sinceMs: nowMs, openers: 0, batchMs: nowMs }
  return {
    state: { ...state, round: open },
    actions: [
      { kind: 'report', event: 'started', side: 'hard', device: round.device, packets: 0, ms: 0 },
    ],
  }
}

export function hardTick(
  state: SprayState,
  round: HardRound,
  facts: SprayFacts,
  nowMs: number,
): SprayStep {
  const peer = facts.peer(round.device)
  if (peer === undefined) return hardFailed(state, round, nowMs, 'the peer is gone')
  const ageMs = nowMs - round.sinceMs
  if (round.kind === 'asking' && ageMs >= ANSWER_MS)
    return hardFailed(state, round, nowMs, 'the peer does not spray, or not now')
  if (round.kind !== 'open') return { state, actions: [] }
  if (peer.direct !== undefined) return hardFailed(state, round, nowMs, 'another path was found')
  if (ageMs >= OPEN_MS) return hardFailed(state, round, nowMs, 'no probe met a mapping')
  return sendOpeners(state, round, nowMs)
}

/** All sockets in turn, and again after a while. When the first pass is done the peer is told. */
function sendOpeners(
  state: SprayState,
  round: HardRound & { readonly kind: 'open' },
  nowMs: number,
): SprayStep {
  const pass = Math.floor(round.openers / SPRAY_SOCKETS)
  const passMs = round.sinceMs + pass * OPENERS_AGAIN_MS
  if (pass >= OPENER_PASSES || passMs > nowMs) return { state, actions: [] }
  const first = round.openers % SPRAY_SOCKETS
  const fromMs = Math.max(round.batchMs, passMs)
  const { count, batchMs } = paced(
    fromMs,
    OPENERS_PER_SECOND,
    Math.min(BATCH, SPRAY_SOCKETS - first),
    nowMs,
  )
  if (count === 0) return { state, actions: [] }
  const { device, target, address } = round
  const actions: SprayAction[] = [{ kind: 'send-openers', device, target, first, count }]
  const openers = round.openers + count
  if (openers === SPRAY_SOCKETS)
    actions.push({ kind: 'say', device, spray: { step: 'open', address } })
  return { state: { ...state, round: { ...round, openers, batchMs } }, actions }
}

/** A probe, or an answer to an opener, reached a socket: by its port leads a path. */
export function hit(
  state: SprayState,
  { device, socket, from }: SprayInput & { readonly kind: 'hit' },
  nowMs: number,
): SprayStep {
  const { round } = state
  if (round?.kind !== 'open' || round.device !== device || !sameEndpoint(round.target, from))
    return { state, actions: [] }
  const step = ended(state, round, nowMs, 'found')
  const path: HeldPath = { device, endpoint: from, usedMs: nowMs, wasUsed: false }
  return {
    state: { ...step.state, held: [...step.state.held, path] },
    actions: [...step.actions, { kind: 'hold', device, target: from, socket }],
  }
}

export function hardFailed(
  state: SprayState,
  round: HardRound,
  nowMs: number,
  reason: string,
): SprayStep {
  const step = ended(state, round, nowMs, { reason })
  const isOpen = round.kind !== 'asking'
  return isOpen ? { ...step, actions: [{ kind: 'close' }, ...step.actions] } : step
}

/** The sockets can't be had, or the path that was found can't be diverted to. */
export function unable(
  state: SprayState,
  { device, reason }: SprayInput & { readonly kind: 'failed' },
  nowMs: number,
): SprayStep {
  const { round, held } = state
  if (round?.kind === 'opening' && round.device === device)
    return hardFailed(state, round, nowMs, reason)
  const path = held.find((one) => one.device === device)
  return path === undefined ? { state, actions: [] } : released(state, path)
}

/** Paths found earlier that are not in use any more are given up. */
export function settleHeld(state: SprayState, facts: SprayFacts, nowMs: number): SprayStep {
  let step: SprayStep = { state, actions: [] }
  for (const path of state.held) {
    const peer = facts.peer(path.device)
    const isUsed = peer !== undefined && sameEndpoint(peer.direct, path.endpoint)
    if (!isUsed && (peer === undefined || path.usedMs + UNUSED_MS <= nowMs)) {
      const { state: after, actions } = released(step.state, path)
      step = { state: after, actions: [...step.actions, ...actions] }
    } else if (isUsed) {
      const held = step.state.held.map(
        (one): HeldPath => (one === path ? { ...one, usedMs: nowMs, wasUsed: true } : one),
      )
      step = { ...step, state: { ...step.state, held } }
    }
  }
  return step
}

function released(state: SprayState, path: HeldPath): SprayStep {
  const { device, endpoint } = path
  const left = { ...state, held: state.held.filter((one) => one !== path) }
  return {
    state: path.wasUsed ? left : unfound(left, device),
    actions: [{ kind: 'release', device, endpoint }],
  }
}
