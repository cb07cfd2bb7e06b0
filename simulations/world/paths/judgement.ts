/** What a run of the path simulation must keep to, and where it did not. */
import type { EventResult, PathRunResult } from './path-run.ts'
import { isDirectPossible, type Scenario } from './scenario.ts'

/** From an event to pings that flow both ways, milliseconds: a public address that changed has to be noticed, told
 *  and checked. On links that lose packets each step may have to be done again. */
export const RECOVERED_MS = { lossless: 2000, lossy: 5000 } as const
/** The same where WireGuard alone is swallowed: that has to be proved (agent/path/data-proof.ts). */
export const PROVED_MS = 12_000
/** Between two answered pings afterwards. */
export const SILENCE_MS = { lossless: 600, lossy: 3000 } as const
/** Moves of one side from a path to another, for one event: away from what is lost, and to what is better. One more
 *  where what swallowed WireGuard is tried again. */
export const SWITCHES = 2

/** One sentence a fault; none is what should be. */
export function faultsOf({ scenario, events }: PathRunResult): readonly string[] {
  return events.flatMap((event, index) =>
    [...timeFaults(scenario, event), ...pathFaults(scenario, events, index)].map(
      (fault) => `${event.kind}: ${fault}`,
    ),
  )
}

function timeFaults({ loss }: Scenario, event: EventResult): readonly string[] {
  const links = loss > 0 ? 'lossy' : 'lossless'
  // It may be swallowed as soon as it is tried again.
  const isSwallowed = event.kind === 'wireguard-swallowed'
  const [within, silence] = isSwallowed
    ? [PROVED_MS, PROVED_MS]
    : [RECOVERED_MS[links], SILENCE_MS[links]]
  return [
    ...(event.recoveredMs > within
      ? [`pings flow after ${event.recoveredMs} ms, ${within} at most`]
      : []),
    ...(event.longestSilenceMs > silence
      ? [`silent for ${event.longestSilenceMs} ms, ${silence} at most`]
      : []),
  ]
}

/** A path that swallowed WireGuard is left alone for a while, also after it does no more. */
function pathFaults(
  scenario: Scenario,
  events: readonly EventResult[],
  index: number,
): readonly string[] {
  const event = events[index]
  const wasSwallowed = events.slice(0, index).some(({ kind }) => kind === 'wireguard-swallowed')
  if (event === undefined) return []
  const most = SWITCHES + (wasSwallowed ? 1 : 0)
  const moves = event.switches > most ? [`${event.switches} moves, ${most} at most`] : []
  if (wasSwallowed) return moves
  const isSwallowed = event.kind === 'wireguard-swallowed' || !isDirectPossible(scenario)
  const wanted = isSwallowed ? 'relay' : 'direct'
  const wrong = event.paths.filter((path) => !path.startsWith(wanted))
  return [...moves, ...wrong.map((path) => `path ${path}, want ${wanted}`)]
}
