/** Device: WireGuard itself, without its interface's addresses and routes: what the backends differ in. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import type { Endpoint, Prefix } from '../../protocol/address.ts'
import type { BackendKind, TunnelPeer, TunnelPeerStats } from './backend.ts'
import type { WireGuardChange } from './diff.ts'

/** A peer as WireGuard tells of it. */
export interface DevicePeer extends TunnelPeerStats {
  readonly allowedIps: readonly Prefix[]
  /** Seconds, 0 is off. */
  readonly persistentKeepalive: number
}

export interface DeviceState {
  readonly privateKey?: AgreementKeyPair
  /** 0 while no port is bound. */
  readonly listenPort: number
  readonly peers: readonly DevicePeer[]
}

/** Every method throws TunnelError or CommandError. Disposing removes the interface. */
export interface WireGuardDevice extends AsyncDisposable {
  readonly kind: BackendKind
  readonly interfaceName: string
  /** Resolves when it is no more: with the fault when it ended by itself, else undefined. */
  readonly ended: Promise<Error | undefined>
  read(): Promise<DeviceState>
  /** Makes the steps in their order. Throws TunnelError (ERR_TUNNEL_PORT_TAKEN) if the port is in use. */
  change(change: WireGuardChange): Promise<void>
  /** Of a peer that exists. */
  setEndpoint(publicKey: AgreementPublicKey, endpoint: Endpoint): Promise<void>
  /** Of a peer that exists. */
  setKeepalive(publicKey: AgreementPublicKey, seconds: number): Promise<void>
  /** Removes and adds, in one operation, a peer that exists. */
  replacePeer(peer: TunnelPeer): Promise<void>
}
