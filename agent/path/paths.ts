/** Paths: what finds the ways to all peers, tells WireGuard, and carries for it where there is only a relay. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import type { Endpoint, IpAddress, Prefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Candidate, NatMapping } from '../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { Tunnel } from '../tunnel/backend.ts'
import type { PathStatus } from './path-state.ts'
import { openPathsShell } from './paths-shell.ts'
import type { RelayRoutes } from './relay-checks.ts'

export type { PathStatus } from './path-state.ts'

export interface PathPeer {
  readonly device: DeviceId
  /** For logs. */
  readonly name: string
  readonly wireguardKey: AgreementPublicKey
  /** Of its endpoint update. */
  readonly candidates: readonly Candidate[]
}

export interface PathsOptions {
  readonly device: DeviceId
  readonly wireguardKey: AgreementKeyPair
  /** WireGuard's port. */
  readonly listenPort: number
  /** The port that the agent binds; port sharing makes it WireGuard's on the wire. */
  readonly checkPort: number
  readonly tunnel: Pick<Tunnel, 'setEndpoint' | 'setKeepalive' | 'restartPeer' | 'stats'>
  /** By that relay, or the best one; false where none takes it. */
  sendDatagram(to: DeviceId, datagram: Uint8Array, relay?: string): boolean
  /** Undefined while there is no mesh; missing: relays have no names. */
  relays?(): RelayRoutes | undefined
  sendPunch(to: DeviceId, candidates: readonly Candidate[]): void
  stunServers(): readonly Endpoint[]
  hostAddresses(): readonly IpAddress[]
  /** Prefixes inside the tunnel, which can't be its outside; none if it is missing. */
  overlayPrefixes?(): readonly Prefix[]
  onLocalCandidates(candidates: readonly Candidate[], natMapping: NatMapping): void
  onPathChanged(device: DeviceId, status: PathStatus): void
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

export interface Paths extends AsyncDisposable {
  /** All peers there are. New ones are sought at once; those not in it are forgotten at once. */
  setPeers(peers: readonly PathPeer[]): void
  /** A datagram of `from` that came by that relay. */
  receiveDatagram(from: DeviceId, datagram: Uint8Array, relay?: string): void
  /** `from` asks to be checked now. */
  punched(from: DeviceId, candidates: readonly Candidate[]): void
  networkChanged(): void
  /** Checks are due through the relays to all, or to that device alone. */
  relaysChanged(device?: DeviceId): void
  status(device: DeviceId): PathStatus
  /** What WireGuard's endpoint for the device should be now; its loopback socket is made on demand. */
  endpointFor(device: DeviceId): Endpoint
}

/** Binds the check port (throws CheckPortError) and seeks no peer before `setPeers`. */
export async function startPaths(options: PathsOptions): Promise<Paths> {
  return openPathsShell(options)
}
