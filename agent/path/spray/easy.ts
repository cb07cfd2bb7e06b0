/** The easy side: its NAT keeps one mapping and lets in only what was asked. It probes random ports of the hard
 *  side's public address from WireGuard's port, until one of them is answered. */

import {
  ANSWER_MS,
  BATCH,
  LATE_MS,
  PACKETS_MS,
  PROBES_PER_SECOND,
  RELAYED_ASKED_MS,
} from './limits.ts'
import { begun, ended, isDue, isFree, paced } from './outcome.ts'
import { isSprayable } from './pays.ts'
import type { EasyRound, SprayFacts, SprayInput, SprayState, SprayStep } from './spray-state.ts'

/** What the hard side says. Whatever it asks for, this side decides by itself whether, how much and where to:
 *  what is not allowed is not answered. */
export function easyTold(
  state: SprayState,
  { device, spray }: SprayInput & { readonly kind: 'told' },
  facts: SprayFacts,
  nowMs: number,
): SprayStep {
  const peer = facts.peer(device)
  if (peer === undefined || !isSprayable(peer, facts.own, spray.address))
    return { state, actions: [] }
  const { round } = state
  const { address } = spray
  if (spray.step === 'open') {
    if (round?.kind !== 'ready' || round.device !== device || round.address !== address)
      return { state, actions: [] }
    const ports = facts.ports()
    const spraying = { kind: 'spraying', device, address, ports, sent: 0 } as const
    return {
      state: { ...state, round: { ...spraying, sinceMs: nowMs, batchMs: nowMs } },
      actions: [{ kind: 'report', event: 'started', side: 'easy', device, packets: 0, ms: 0 }],
    }
  }
  const isWanted =
    peer.relayedMs + RELAYED_ASKED_MS <= nowMs && peer.packetsMs + PACKETS_MS >= nowMs
  if (spray.step !== 'ask' || !isWanted || !isFree(state, nowMs) || !isDue(state, peer, nowMs))
    return { state, actions: [] }
  return {
    state: begun(state, { kind: 'ready', device, address, sinceMs: nowMs }, peer),
    actions: [{ kind: 'say', device, spray: { step: 'ready', address } }],
  }
}

export function easyTick(
  state: SprayState,
  round: EasyRound,
  facts: SprayFacts,
  nowMs: number,
): SprayStep {
  const peer = facts.peer(round.device)
  if (peer === undefined) return ended(state, round, nowMs, { reason: 'the peer is gone' })
  // The hard side's own checks have come by a mapping that was met, or by one that an earlier round still lets in.
  if (peer.direct !== undefined) {
    const isThere = peer.direct.address === round.address
    return ended(state, round, nowMs, isThere ? 'found' : { reason: 'another path was found' })
  }
  if (round.kind === 'ready') {
    if (nowMs - round.sinceMs < ANSWER_MS) return { state, actions: [] }
    return ended(state, round, nowMs, { reason: 'the peer opened no mappings' })
  }
  if (round.sent === round.ports.length) {
    if (nowMs - round.batchMs < LATE_MS) return { state, actions: [] }
    return ended(state, round, nowMs, { reason: 'no probe was answered' })
  }
  return sendProbes(state, round, nowMs)
}

function sendProbes(
  state: SprayState,
  round: EasyRound & { readonly kind: 'spraying' },
  nowMs: number,
): SprayStep {
  const { device, address, ports, sent } = round
  const most = Math.min(BATCH, ports.length - sent)
  const { count, batchMs } = paced(round.batchMs, PROBES_PER_SECOND, most, nowMs)
  return {
    state: { ...state, round: { ...round, sent: sent + count, batchMs } },
    actions: ports
      .slice(sent, sent + count)
      .map((port) => ({ kind: 'send-probe', device, to: { address, port } }) as const),
  }
}

export function answered(
  state: SprayState,
  { device, from }: SprayInput & { readonly kind: 'answered' },
  nowMs: number,
): SprayStep {
  const { round } = state
  const isProbed =
    round?.kind === 'spraying' &&
    round.device === device &&
    round.address === from.address &&
    round.ports.slice(0, round.sent).includes(from.port)
  if (!isProbed) return { state, actions: [] }
  const step = ended(state, round, nowMs, 'found')
  return { ...step, actions: [{ kind: 'check', device, endpoint: from }, ...step.actions] }
}
