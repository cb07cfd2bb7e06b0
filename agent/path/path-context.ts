/** Path context: what a peer's paths use of the shell they live in. */
import type { Endpoint } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { RedirectedEndpoints } from '../host/redirected-endpoints.ts'
import type { Tunnel } from '../tunnel/backend.ts'
import type { PathStatus } from './path-status.ts'
import type { PathPeer } from './paths.ts'

export interface PathContext {
  readonly tunnel: Pick<Tunnel, 'setEndpoint' | 'setKeepalive' | 'restartPeer' | 'stats'>
  readonly listenPort: number
  readonly clock: Clock
  readonly log: Log
  /** Missing: WireGuard follows whatever comes last. */
  readonly redirected?: RedirectedEndpoints | undefined
  /** A check to the peer by an endpoint, or by the relay (then false where no relay took it). */
  sendCheck(peer: PathPeer, path: Endpoint | 'relay'): boolean
  sendDirect(peer: PathPeer, datagram: Uint8Array, to: Endpoint): void
  sendRelayed(peer: PathPeer, datagram: Uint8Array): boolean
  sendPunch(peer: PathPeer): void
  refreshMapping(): void
  /** WireGuard's state is looked at again after so many milliseconds. */
  lookSoon(afterMs: number): void
  onStatus(peer: PathPeer, status: PathStatus): void
  /** WireGuard has made a handshake with the peer. */
  onSession(peer: PathPeer): void
}
