/** Two hosts with a tunnel each, and the words to say how they are to be configured. */
import { systemClock } from '../../../agent/system-clock.ts'
import type {
  BackendKind,
  Tunnel,
  TunnelConfig,
  TunnelPeer,
  TunnelPeerStats,
} from '../../../agent/tunnel/backend.ts'
import { startTunnel } from '../../../agent/tunnel/detect.ts'
import {
  type AgreementKeyPair,
  type AgreementPublicKey,
  generateAgreementKeyPair,
} from '../../../crypto/agreement.ts'
import { equal, toHex } from '../../../crypto/bytes.ts'
import { type Endpoint, parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import { joinedNamespaces, type Namespace } from './namespaces.ts'
import { type Calls, startRemote } from './userspace/remote.ts'

export const PORT = 51820
export const ADDRESSES = {
  a: ['100.64.0.1/32', 'fd00:64::1/128'],
  b: ['100.64.0.2/32', 'fd00:64::2/128'],
}

/** What goes through the tunnel, asked at one end. */
export interface Reach {
  /** Does one echo request to the address come back within this many seconds? */
  pings(address: string, seconds?: number): Promise<boolean>
  /** Does a packet of so many bytes, which must not be cut? */
  carries(address: string, bytes: number): Promise<boolean>
  /** How many of `count` echo requests, 2 ms apart, come back. */
  received(address: string, count: number): Promise<number>
}

export interface Side {
  readonly host: Namespace
  readonly reach: Reach
  readonly keys: AgreementKeyPair
  readonly addresses: readonly string[]
  readonly logged: string[]
  tunnel: Tunnel
}

/** Backends that make an interface of the host. */
export type HostBackend = Exclude<BackendKind, 'userspace'>

export async function start(
  host: Namespace,
  backend: HostBackend,
  logged: string[],
): Promise<Tunnel> {
  if (backend !== 'wireguard-go') return startInside(host, backend, logged)
  return startTunnel({
    backend,
    interfaceName: host.tunnelName,
    commands: host.commands,
    clock: systemClock,
    log: (level, event) => logged.push(`${level} ${event}`),
  })
}

/** What opens TUN or netlink belongs where its interface does. */
async function startInside(
  host: Namespace,
  backend: 'tun' | 'kernel',
  logged: string[],
): Promise<Tunnel> {
  const onLog = (line: string): void => void logged.push(line)
  const { tunnel, calls, child } = startRemote(['ip', 'netns', 'exec', host.name], {
    over: { backend, interfaceName: host.tunnelName },
    onLog,
  })
  try {
    await calls.started()
    return tunnel
  } catch (error) {
    child.kill()
    throw error
  }
}

export function config(side: Side, ...peers: TunnelPeer[]): TunnelConfig {
  return {
    privateKey: side.keys,
    listenPort: PORT,
    addresses: side.addresses.map(parsePrefix),
    mtu: 1420,
    peers: new Map(peers.map((peer) => [toHex(peer.publicKey), peer])),
  }
}

export function peerOf(side: Side, ...more: string[]): TunnelPeer {
  return {
    publicKey: side.keys.publicKey,
    allowedIps: [...side.addresses, ...more].map(parsePrefix),
    persistentKeepalive: 0,
  }
}

export function at(address: string, port = PORT): Endpoint {
  return { address: parseIpAddress(address), port }
}

export async function statsOf(
  side: Side,
  key: AgreementPublicKey,
): Promise<TunnelPeerStats | undefined> {
  return (await side.tunnel.stats()).find(({ publicKey }) => equal(publicKey, key))
}

/** Two hosts with a tunnel each that knows no peer yet. */
export async function startSides(backend: BackendKind): Promise<readonly [Side, Side]> {
  const [first, second] = await joinedNamespaces()
  const side = async (host: Namespace, addresses: readonly string[]): Promise<Side> => {
    const logged: string[] = []
    const keys = generateAgreementKeyPair()
    if (backend !== 'userspace') {
      const tunnel = await start(host, backend, logged)
      return { host, keys, addresses, logged, tunnel, reach: reachOf(host) }
    }
    const { tunnel, calls } = startRemote(['ip', 'netns', 'exec', host.name])
    return { host, keys, addresses, logged, tunnel, reach: reachInside(calls) }
  }
  return [await side(first, ADDRESSES.a), await side(second, ADDRESSES.b)]
}

function reachOf({ pings, sh }: Namespace): Reach {
  return {
    pings,
    carries: (address, bytes) =>
      sh(`ping -q -M do -c 1 -W 2 -s ${bytes - 28} ${address}`).then(
        () => true,
        () => false,
      ),
    received: async (address, count) => {
      const said = await sh(`ping -q -i 0.002 -c ${count} ${address} || true`)
      return Number(/(\d+) received/.exec(said)?.[1])
    },
  }
}

function reachInside({ ping, pingMany }: Calls): Reach {
  return {
    pings: async (address, seconds = 2) => (await ping(address, 84, seconds * 1000)) === 'reply',
    carries: async (address, bytes) => (await ping(address, bytes, 2000)) === 'reply',
    received: (address, count) => pingMany(address, count, 2),
  }
}

/** What a tunnel may leave in a namespace: links, its routes, its socket. */
export async function leftovers({ host }: Side): Promise<string> {
  return host.sh(`ip -brief link | grep ${host.tunnelName} || true
    ip route show proto 78; ip -6 route show proto 78
    ls /var/run/wireguard/${host.tunnelName}.sock 2>/dev/null || true; nft list tables`)
}
