/** Connection gater: turns away whom admission refused, before a hello is spent on it. */
import type { ConnectionGater, PeerId } from '@libp2p/interface'
import type { DeniedPeers } from './denied.ts'
import type { Links } from './links.ts'

export function createGater(denied: DeniedPeers, links: Links): ConnectionGater {
  const isDenied = (peer: PeerId): boolean => denied.isDenied(peer.toString())
  const isStranger = (peer: PeerId): boolean => links.to(peer.toString()).length === 0
  return {
    denyDialMultiaddr: () => false,
    denyDialPeer: isDenied,
    denyInboundEncryptedConnection: isDenied,
    denyOutboundEncryptedConnection: isDenied,
    denyInboundRelayReservation: isStranger,
    denyInboundRelayedConnection: (_relay, remote) => isDenied(remote),
    denyOutboundRelayedConnection: (source, destination) =>
      isStranger(source) || isStranger(destination),
  }
}
