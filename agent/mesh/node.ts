/** The libp2p node and its exact options (measured: see the comments), and the few internals we use. */
import { noise } from '@chainsafe/libp2p-noise'
import {
  type CircuitRelayService,
  circuitRelayServer,
  circuitRelayTransport,
} from '@libp2p/circuit-relay-v2'
import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type {
  Connection,
  ConnectionGater,
  Libp2p,
  PeerId,
  PrivateKey,
  Stream,
  StreamMiddleware,
} from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { within } from '../within.ts'
import { gossipParameters, gossipTopic } from './gossip-parameters.ts'

export interface NodeOptions {
  readonly privateKey: PrivateKey
  readonly organization: OrganizationId
  readonly listen: readonly string[]
  readonly relayServer: boolean
  readonly mdns: boolean
  readonly gater: ConnectionGater
}

/** Gossipsub with what is needed to bring a silent peer back; covered by a test. */
export interface MeshGossip extends GossipSub {
  readonly streamsOutbound: ReadonlyMap<string, unknown>
  onPeerConnected(peer: PeerId, connection: Connection): void
  /** `stop` forgets to clear this timer: it would hold the process for a second. */
  readonly status: { readonly heartbeatTimeout?: NodeJS.Timeout }
}

export interface ReservationStore {
  hasReservation(peer: PeerId): boolean
  addRelay(peer: PeerId, type: 'configured'): Promise<unknown>
  /** Relays that failed once; libp2p never forgets them. */
  relayFilter: { has(bytes: Uint8Array): boolean; add(bytes: Uint8Array): void }
}

type Services = {
  identify: Identify
  ping: Ping
  dht: KadDHT
  gossip: GossipSub
  relay?: CircuitRelayService
}

interface Internals {
  readonly components: {
    readonly registrar: { getMiddleware(protocol: string): StreamMiddleware[] }
    readonly transportManager: {
      dial(address: Multiaddr, options: { signal: AbortSignal }): Promise<Connection>
      getTransports(): readonly object[]
    }
  }
}

interface DhtInternals {
  readonly routingTable: { remove(peer: PeerId): Promise<void> }
  readonly rpc: { readonly handlers: Record<string, unknown> }
}

interface ConnectionInternals {
  readonly muxer?: EventTarget
}

/** Messages of the DHT by which members store what they like with others; nothing of ours asks for it. */
const STORING = ['PUT_VALUE', 'ADD_PROVIDER']
const STOP_MS = 2000

/** A libp2p node, not started yet. */
export interface MeshNode {
  readonly node: Libp2p<Services>
  readonly gossip: MeshGossip
  readonly topic: string
  readonly reservations: ReservationStore
  /** Runs `gate` before any stream, of either direction, reaches its protocol. */
  gateProtocols(gate: (protocol: string, connection: Connection) => Promise<void>): void
  /** Calls `onStream` for each stream that the other end opens, before anything is known of it. */
  onInboundStream(connection: Connection, onStream: () => void): void
  /** Leaves nothing of a peer in the DHT's table and the peer store. */
  forget(peer: PeerId): Promise<void>
  /** Past libp2p's dial queue, which joins dials to one peer and tries addresses one by one. */
  dial(address: Multiaddr, signal: AbortSignal): Promise<Connection>
}

export async function createNode(options: NodeOptions): Promise<MeshNode> {
  const topic = gossipTopic(options.organization)
  const node = await createLibp2p<Services>({
    start: false,
    privateKey: options.privateKey,
    addresses: { listen: [...options.listen] },
    transports: [
      tcp({ inboundSocketInactivityTimeout: 90_000, outboundSocketInactivityTimeout: 90_000 }),
      // reservations.ts chooses relays; libp2p's own search would compete with it.
      circuitRelayTransport({
        discoveryFilter: { has: () => true, add: () => undefined, remove: () => undefined },
      }),
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ enableKeepAlive: false })], // liveness.ts pings
    peerDiscovery: options.mdns ? [mdns({ serviceTag: serviceTagOf(options.organization) })] : [],
    connectionGater: options.gater,
    connectionMonitor: { enabled: false }, // it aborts busy connections; liveness.ts does not
    connectionManager: {
      maxConnections: 1024,
      // Members behind one NAT share an address, and all start at once after a power cut.
      inboundConnectionThreshold: 256,
      maxIncomingPendingConnections: 256,
      reconnectRetries: 0, // redial.ts never gives up
    },
    services: servicesOf(options, topic),
  })
  return meshNodeOf(node, topic)
}

function servicesOf(options: NodeOptions, topic: string) {
  return {
    identify: identify(),
    ping: ping(),
    dht: kadDHT({
      protocol: `/nexodus/kad/1/${options.organization}`,
      clientMode: false,
      peerInfoMapper: passthroughMapper, // the default drops private addresses
      allowQueryWithZeroPeers: true,
    }),
    gossip: gossipsub(gossipParameters(topic)),
    ...(options.relayServer
      ? {
          relay: circuitRelayServer({
            reservations: { applyDefaultLimit: false, maxReservations: 5000 },
          }),
        }
      : {}),
  }
}

/** Says to the local network only that some organization is here, not which. */
function serviceTagOf(organization: OrganizationId): string {
  return `_nx${toHex(sha256(utf8(`nexodus mdns ${organization}`)).subarray(0, 6))}._udp.local`
}

function meshNodeOf(node: Libp2p<Services>, topic: string): MeshNode {
  const { components } = node as unknown as Internals
  const circuit = components.transportManager
    .getTransports()
    .find((each) => 'reservationStore' in each) as
    | { reservationStore: ReservationStore }
    | undefined
  if (circuit === undefined) throw new Error('libp2p has no circuit relay transport')
  const { routingTable, rpc } = node.services.dht as unknown as DhtInternals
  for (const message of STORING) delete rpc.handlers[message]
  circuit.reservationStore.relayFilter = { has: () => false, add: () => undefined }
  return {
    node,
    gossip: node.services.gossip as MeshGossip,
    topic,
    reservations: circuit.reservationStore,
    gateProtocols: (gate) => {
      // node.use() is broken in libp2p 3.3; a new array each time, for libp2p pushes onto it.
      components.registrar.getMiddleware = (protocol) => [
        async (stream: Stream, connection: Connection, next) => {
          await gate(protocol, connection)
          next(stream, connection)
        },
      ]
    },
    onInboundStream: (connection, onStream) => {
      const { muxer } = connection as unknown as ConnectionInternals
      if (muxer === undefined) throw new Error('libp2p has no muxer in a connection')
      muxer.addEventListener('stream', onStream)
    },
    forget: async (peer) => {
      await Promise.all([routingTable.remove(peer), node.peerStore.delete(peer)])
    },
    dial: async (address, signal) => components.transportManager.dial(address, { signal }),
  }
}

/** Within two seconds: libp2p waits for ends of connections that may never come. */
export async function stopNode({ node }: MeshNode, clock: Pick<Clock, 'sleep'>): Promise<void> {
  const stopping = async () => node.stop()
  await within(stopping(), STOP_MS, clock)
}
