/** Look taker: what a look at WireGuard showed goes to the path of each peer; of the many that idle it says nothing new. */
import { toHex } from '../../crypto/bytes.ts'
import type { Endpoint } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { TunnelPeerStats } from '../tunnel/backend.ts'
import type { PeerPath } from './peer-path.ts'

export interface LookListeners {
  /** WireGuard may have sent there. */
  sent(to: Endpoint): void
  /** Counters of a peer. */
  counted(device: DeviceId, stats: TunnelPeerStats): void
}

export function newLookTaker(
  paths: ReadonlyMap<DeviceId, PeerPath>,
  listeners: LookListeners,
): (stats: readonly TunnelPeerStats[]) => void {
  let last: readonly TunnelPeerStats[] = []
  let byKey = new Map<string, TunnelPeerStats>()
  return (stats) => {
    const before = byKey
    // A look that shows nothing new is the same object as the last one (tunnel/uapi-text.ts).
    if (stats !== last) byKey = new Map(stats.map((one) => [hexOf(one.publicKey), one]))
    last = stats
    for (const [device, path] of paths) {
      const key = hexOf(path.peer.wireguardKey)
      const found = byKey.get(key)
      if (found === undefined) continue
      const isQuiet = path.activity === 'idle' && isSame(before.get(key), found)
      if (!isQuiet && found.endpoint !== undefined) listeners.sent(found.endpoint)
      path.seen(found)
      if (!isQuiet) listeners.counted(device, found)
    }
  }
}

function isSame(a: TunnelPeerStats | undefined, b: TunnelPeerStats): boolean {
  return a?.sentBytes === b.sentBytes && a.receivedBytes === b.receivedBytes
}

/** Keys are the same objects from look to look. */
function hexOf(key: Uint8Array): string {
  const known = hexes.get(key)
  if (known !== undefined) return known
  const hex = toHex(key)
  hexes.set(key, hex)
  return hex
}
const hexes = new WeakMap<Uint8Array, string>()
