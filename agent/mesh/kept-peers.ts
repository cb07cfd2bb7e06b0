/** Kept peers: which members to stay connected to, so that all hang together and nobody holds too many. */
import { toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** Up to so many all are kept. */
const ALL = 24
/** Of more, each chooses so many, and most of them choose it, too, for the lot is one for both: a random graph, which is
 *  connected but for a chance beyond all others. Degree about 12, 24 at most of 1,000: more links cost bytes and win
 *  little time. */
const CHOSEN = 10

/** As `keptPeers`, and remembers the answer: a change of belief brings all peers, and they are seldom others. */
export function rememberedKept(
  self: DeviceId,
): (peers: readonly DeviceId[]) => ReadonlySet<DeviceId> {
  let last = { peers: NOBODY, kept: keptPeers(self, NOBODY) }
  return (peers) => {
    const isSame =
      last.peers.length === peers.length && peers.every((p, at) => p === last.peers[at])
    if (!isSame) last = { peers, kept: keptPeers(self, peers) }
    return last.kept
  }
}

/** The same peers each time; both ends of a pair draw the same lot for it. */
export function keptPeers(self: DeviceId, peers: readonly DeviceId[]): ReadonlySet<DeviceId> {
  if (peers.length <= ALL) return new Set(peers)
  const lots = peers.map((peer) => ({ peer, lot: lotOf(self, peer) }))
  const sorted = lots.toSorted((a, b) => (a.lot < b.lot ? -1 : 1))
  return new Set(sorted.slice(0, CHOSEN).map(({ peer }) => peer))
}

function lotOf(a: DeviceId, b: DeviceId): string {
  return toHex(sha256(utf8(a < b ? a + b : b + a)))
}

const NOBODY: readonly DeviceId[] = []
