/** Ways: by which a datagram that WireGuard gave to the loopback socket is carried to the peer. Pure. */
import type { Endpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { unreachable } from '../../protocol/errors.ts'
import { wireguardMessage } from './handshake.ts'
import type { PathState } from './path-state.ts'
import { routeOf } from './path-status.ts'

/** Candidates that an initiation is tried at before one is proved: 600 bytes. */
const GUESSES = 4

export interface Ways {
  readonly direct: readonly Endpoint[]
  readonly relay: boolean
}

/** By the path that is proved. Where there is none yet, the initiation of the side that initiates goes to
 *  where the peer said it is, beside the checks: where one of these opens the way, the handshake is half done
 *  when its answer comes. The other side's must not, or both would initiate at once. */
export function waysOf(
  state: PathState,
  candidates: readonly Candidate[],
  datagram: Uint8Array,
): Ways {
  const route = routeOf(state)
  switch (route.kind) {
    case 'direct':
      return { direct: [route.endpoint], relay: false }
    case 'both':
      return { direct: [route.endpoint], relay: true }
    case 'relay':
      return { direct: [], relay: true }
    case 'none': {
      const isTried = state.initiates && wireguardMessage(datagram) === 'initiation'
      return { direct: isTried ? guesses(candidates) : [], relay: false }
    }
    default:
      return unreachable(route)
  }
}

/** What others see of the peer first: its own addresses mean something else in another network. */
function guesses(candidates: readonly Candidate[]): readonly Endpoint[] {
  const isOwn = ({ kind }: Candidate): number => (kind === 'host' ? 1 : 0)
  return candidates
    .toSorted((a, b) => isOwn(a) - isOwn(b))
    .slice(0, GUESSES)
    .map(({ address, port }) => ({ address, port }))
}
