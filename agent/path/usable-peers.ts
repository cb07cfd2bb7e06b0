/** Usable peers: with those of their candidates that may be checked. A change of belief brings all peers, and what is
 *  known of one is looked at again only where it, or this host, is another. */
import type { Candidate } from '../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import type { LocalCandidates } from './candidates.ts'
import type { PathPeer } from './paths.ts'

type Host = Pick<LocalCandidates, 'mayBePeer' | 'mark'> | undefined

/** Without what lies inside the tunnel, is this host itself, or no host at all. */
export function usableCandidates(
  candidates: readonly Candidate[],
  host: Host,
): readonly Candidate[] {
  return candidates.slice(0, CANDIDATES).filter((one) => host === undefined || host.mayBePeer(one))
}

export class UsablePeers {
  #known: ReadonlyMap<DeviceId, { readonly given: PathPeer; readonly usable: PathPeer }> = new Map()
  #mark: string | undefined

  /** The same object as the last time for a peer that is the same object as then. */
  of(peers: readonly PathPeer[], host: Host): ReadonlyMap<DeviceId, PathPeer> {
    const mark = host?.mark()
    const before = mark === this.#mark ? this.#known : new Map<DeviceId, never>()
    this.#mark = mark
    this.#known = new Map(
      peers.map((given) => {
        const known = before.get(given.device)
        if (known?.given === given) return [given.device, known]
        const candidates = usableCandidates(given.candidates, host)
        return [given.device, { given, usable: { ...given, candidates } }]
      }),
    )
    return new Map([...this.#known].map(([device, { usable }]) => [device, usable]))
  }
}
