/** Paths: what finds the ways to all peers, tells WireGuard, and carries for it where there is only a relay. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import type { Endpoint, IpAddress, Prefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { NatMapping, NatReport } from '../../protocol/nat-report.ts'
import type { Spray } from '../../protocol/punch.ts'
import type { RedirectedEndpoints } from '../host/redirected-endpoints.ts'
import type { Tunnel } from '../tunnel/backend.ts'
import { openCheckSocket } from './check-socket.ts'
import type { PathMtuHost } from './mtu-probes.ts'
import type { openProbeSocket } from './nat/probe-socket.ts'
import type { PathNetcheck } from './nat/watch.ts'
import type { PathFacts } from './path-evidence.ts'
import type { PathStatus } from './path-status.ts'
import { openPathsShell } from './paths-shell.ts'
import type { PortMappings } from './port-mapping/port-mapping.ts'
import { openRelayCarrier } from './relay-carrier.ts'
import type { RelayRoutes } from './relay-checks.ts'
import type { SprayHost } from './spray/found-paths.ts'

export type { PathMtuHost } from './mtu-probes.ts'
export type { PathStatus } from './path-status.ts'

export interface PathPeer {
  readonly device: DeviceId
  /** For logs. */
  readonly name: string
  readonly wireguardKey: AgreementPublicKey
  /** Of its endpoint update. */
  readonly candidates: readonly Candidate[]
  /** Of the same; none if it is missing. */
  readonly nat?: readonly NatReport[]
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
  sendPunch(to: DeviceId, candidates: readonly Candidate[], spray?: Spray): void
  stunServers(): readonly Endpoint[]
  hostAddresses(): readonly IpAddress[]
  /** Ports that gateways map to WireGuard's; none if it is missing. */
  readonly portMappings?: PortMappings | undefined
  /** Prefixes inside the tunnel, which can't be its outside; none if it is missing. */
  overlayPrefixes?(): readonly Prefix[]
  /** Does TCP reach a registry now? Unknown if it is missing. */
  isRegistryConnected?(): boolean
  /** @param natMapping over IPv4 */
  onLocalCandidates(
    candidates: readonly Candidate[],
    natMapping: NatMapping,
    nat: readonly NatReport[],
  ): void
  onPathChanged(device: DeviceId, status: PathStatus): void
  /** WireGuard has made a handshake with the peer. */
  onSession?(device: DeviceId): void
  /** Missing: no path's MTU is sought. */
  readonly mtu?: PathMtuHost
  /** Missing: no NAT is sprayed at. */
  readonly spray?: SprayHost | undefined
  /** Missing: WireGuard follows whatever comes last. */
  readonly redirected?: RedirectedEndpoints | undefined
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

export interface Paths extends AsyncDisposable {
  /** All peers there are. New ones are sought at once; those not in it are forgotten at once. */
  setPeers(peers: readonly PathPeer[]): void
  /** A datagram of `from` that came by that relay. */
  receiveDatagram(from: DeviceId, datagram: Uint8Array, relay?: string): void
  /** `from` asks to be checked now, and says a word of a spraying round. */
  punched(from: DeviceId, candidates: readonly Candidate[], spray?: Spray): void
  networkChanged(): void
  /** Checks are due through the relays to all, or to that device alone. */
  relaysChanged(device?: DeviceId): void
  status(device: DeviceId): PathStatus
  /** What is known of the ways to the device, for people; also of one that is no peer. */
  evidence(device: DeviceId): PathFacts
  /** Bytes of the largest packet to the device; undefined where MTUs are not sought. */
  mtu(device: DeviceId): number | undefined
  /** Has WireGuard a session with the device, as it showed lately? */
  hasSession(device: DeviceId): boolean
  /** What WireGuard's endpoint for the device should be now; its loopback socket is made on demand. */
  endpointFor(device: DeviceId): Endpoint
  /** What is known of the NATs, and how it is learned. */
  netcheck(): PathNetcheck
}

/** Whence the sockets come: the system, or a simulated internet. */
export interface PathSockets {
  readonly openCheckSocket: typeof openCheckSocket
  readonly openRelayCarrier: typeof openRelayCarrier
  /** The system's where it is missing. */
  readonly openProbeSocket?: typeof openProbeSocket
}

/** Binds the check port (throws CheckPortError) and seeks no peer before `setPeers`. */
export async function startPaths(
  options: PathsOptions,
  sockets: PathSockets = { openCheckSocket, openRelayCarrier },
): Promise<Paths> {
  return openPathsShell(options, sockets)
}
