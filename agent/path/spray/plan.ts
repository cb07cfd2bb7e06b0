/** Spraying (birthday attack on the ports of a NAT; SPEC §10.8): from what happened to what to do. Pure: no I/O, no
 *  clock, no randomness of its own.
 *
 *          hard side                                        easy side
 *   relayed for 5 s, packets flow
 *   asking ────────────── ask ──────────────────► allowed? then ready
 *   opening (256 sockets) ◄──────── ready ───────
 *   open: a check from each socket to the
 *         easy side's mapped endpoint
 *         ─────────────── open ─────────────────► spraying: checks to random ports of
 *                                                           the hard side's address
 *   hit: that socket's port leads there ◄──────── one of them
 *   hold, answer ───────────────────────────────► answered: the path machine takes it up */
import { unreachable } from '../../../protocol/errors.ts'
import { answered, easyTick, easyTold } from './easy.ts'
import { hardTick, hardTold, hit, opened, seek, settleHeld, unable } from './hard.ts'
import { BATCH_MS, LOOK_MS, WAIT_MS } from './limits.ts'
import type {
  EasyRound,
  Round,
  SprayFacts,
  SprayInput,
  SprayState,
  SprayStep,
} from './spray-state.ts'

/** Total. `nowMs` must not go back from one call to the next. */
export function sprayStep(
  state: SprayState,
  input: SprayInput,
  facts: SprayFacts,
  nowMs: number,
): SprayStep {
  switch (input.kind) {
    case 'tick':
      return ticked(state, facts, nowMs)
    case 'told':
      return input.spray.step === 'ready'
        ? hardTold(state, input, nowMs)
        : easyTold(state, input, facts, nowMs)
    case 'opened':
      return opened(state, input, nowMs)
    case 'failed':
      return unable(state, input, nowMs)
    case 'hit':
      return hit(state, input, nowMs)
    case 'answered':
      return answered(state, input, nowMs)
    default:
      return unreachable(input)
  }
}

function ticked(state: SprayState, facts: SprayFacts, nowMs: number): SprayStep {
  const held = settleHeld(state, facts, nowMs)
  const { round } = held.state
  const next =
    round === undefined
      ? seek(held.state, facts, nowMs)
      : isEasyRound(round)
        ? easyTick(held.state, round, facts, nowMs)
        : hardTick(held.state, round, facts, nowMs)
  return { state: next.state, actions: [...held.actions, ...next.actions] }
}

function isEasyRound(round: Round): round is EasyRound {
  return round.kind === 'ready' || round.kind === 'spraying'
}

/** How soon a `tick` is worth it. */
export function tickAfterMs({ round }: SprayState): number {
  if (round === undefined) return LOOK_MS
  return round.kind === 'open' || round.kind === 'spraying' ? BATCH_MS : WAIT_MS
}
