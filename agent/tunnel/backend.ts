/** Backend: what carries WireGuard, behind one interface of wanted state. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import type { Endpoint, Prefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { Commands } from '../host/run.ts'

export type BackendKind = 'kernel' | 'wireguard-go' | 'tun' | 'userspace'

export interface BackendOptions {
  /** At most 15 characters; on Linux one name a host for wireguard-go, whatever the network namespace. */
  readonly interfaceName: string
  readonly commands: Commands
  readonly clock: Clock
  readonly log: Log
}

export interface TunnelPeer {
  readonly publicKey: AgreementPublicKey
  /** Undefined leaves the endpoint alone: it belongs to whoever finds paths, and to WireGuard's roaming. */
  readonly endpoint?: Endpoint
  /** Prefixes whose packets go to this peer, and come from no other. No prefix is in two peers. */
  readonly allowedIps: readonly Prefix[]
  /** Prefixes that went from this peer to another just now: its packets from there are taken for LATE_MS more, and
   *  nothing is sent to it (SPEC §8.8). `kernel` and `wireguard-go` can't, and take none. */
  readonly lateIps?: readonly Prefix[]
  /** Aliases of prefixes, from which its packets may come as well (SPEC §8.9): the firewall gives them their source; nothing
   *  is routed there. */
  readonly aliasIps?: readonly Prefix[]
  /** Nothing is taken from it, and nothing sent to it but what waits for its handshake already. Its session goes on, so that it is reached at once when it is opened,
   *  and its routes stay, so that no packet for it leaves the host beside the tunnel. */
  readonly isClosed?: boolean
  /** Seconds, 0 is off. */
  readonly persistentKeepalive: number
  /** Bytes of the largest packet to it; the interface's MTU where it is missing or more. */
  readonly mtu?: number
}

/** Milliseconds for which packets under way from the holder before are taken: the longest round trip over a relay, and a
 *  queue before it. */
export const LATE_MS = 2000

/** All that WireGuard is to take from the peer. */
export function sourcesOf({
  allowedIps,
  aliasIps = [],
  isClosed = false,
}: TunnelPeer): readonly Prefix[] {
  return isClosed ? [] : [...allowedIps, ...aliasIps]
}

/** The whole wanted state. */
export interface TunnelConfig {
  readonly privateKey: AgreementKeyPair
  /** UDP, 1 to 65535. */
  readonly listenPort: number
  /** The interface's own; the first of each family is the source of what the host sends. */
  readonly addresses: readonly Prefix[]
  /** Bytes; see mtu.ts. At least 1280, IPv6's least, where there are IPv6 addresses. */
  readonly mtu: number
  /** By hexadecimal public key. */
  readonly peers: ReadonlyMap<string, TunnelPeer>
}

export interface TunnelPeerStats {
  readonly publicKey: AgreementPublicKey
  /** Where packets to it go now: as set, or as WireGuard saw it roam. */
  readonly endpoint?: Endpoint
  /** 0 is never. */
  readonly latestHandshake: Seconds
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** A running tunnel: interface, WireGuard, addresses and routes. Disposing it leaves nothing behind.
 *  Every method throws TunnelError or CommandError; after an error `configure` begins by reading what there
 *  is, so repeating it mends a change that was half made. */
export interface Tunnel extends AsyncDisposable {
  readonly kind: BackendKind
  /** Of `userspace` a name only: there is no interface. */
  readonly interfaceName: string
  /** Resolves when the tunnel is no more: with the fault when it ended by itself, else undefined. */
  readonly ended: Promise<Error | undefined>
  /** Makes the tunnel so, changing only what differs: sessions of unchanged peers go on. An allowed IP that
   *  moves between peers is at every moment with one of the two. */
  configure(wanted: TunnelConfig): Promise<void>
  /** Sends from now on to `endpoint`. Nothing happens if there is no such peer. */
  setEndpoint(publicKey: AgreementPublicKey, endpoint: Endpoint): Promise<void>
  /** @param seconds 0 is off; holds until `configure` wants another value than it wanted before. Turning it
   *  on sends a packet at once. Nothing happens if there is no such peer. */
  setKeepalive(publicKey: AgreementPublicKey, seconds: number): Promise<void>
  /** Removes the peer and adds it again in one operation: its session ends and the next packet starts a
   *  handshake at once, without the 5 s that WireGuard waits after one that failed. Nothing happens if there
   *  is no such peer. */
  restartPeer(publicKey: AgreementPublicKey): Promise<void>
  stats(): Promise<readonly TunnelPeerStats[]>
}
