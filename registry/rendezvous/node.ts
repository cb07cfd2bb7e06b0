/** The rendezvous' libp2p node: its exact options, and the few internals we use. */
import { noise } from '@chainsafe/libp2p-noise'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type {
  Connection,
  ConnectionGater,
  Libp2p,
  PeerId,
  Stream,
  StreamMiddleware,
} from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { concat } from '../../crypto/bytes.ts'
import { type SigningKeyPair, seedOf } from '../../crypto/signing.ts'
import type { Links } from './links.ts'
import type { Strangers } from './strangers.ts'

/** Connections in all; a device has one or two. */
const CONNECTIONS = 20_000
/** New connections of one address in a second, and hellos under way: a site behind one NAT comes back
 *  all at once after a power cut. */
const NEW_CONNECTIONS = 512
/** Circuits of one device at once, as the one that is called and as the one that calls. */
const CIRCUITS = 1024
const RESERVATIONS = 5000

export interface NodeOptions {
  readonly key: SigningKeyPair<'rendezvous'>
  readonly listen: readonly string[]
  readonly links: Links
  readonly strangers: Strangers
}

interface Internals {
  readonly components: {
    readonly registrar: { getMiddleware(protocol: string): StreamMiddleware[] }
  }
}

/** A libp2p node, not started yet. */
export interface RendezvousNode {
  readonly node: Libp2p
  /** Runs `gate` before any stream, of either direction, reaches its protocol. */
  gateProtocols(gate: (protocol: string, connection: Connection) => Promise<void>): void
  /** Calls `onStream` for each stream that the other end opens, before anything is known of it. */
  onInboundStream(connection: Connection, onStream: () => void): void
}

interface ConnectionInternals {
  readonly muxer?: EventTarget
}

export async function createNode(options: NodeOptions): Promise<RendezvousNode> {
  const node = await createLibp2p({
    start: false,
    privateKey: privateKeyFromRaw(concat(seedOf(options.key), options.key.publicKey)),
    addresses: { listen: [...options.listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ enableKeepAlive: false })], // liveness.ts pings
    connectionGater: gaterOf(options),
    connectionMonitor: { enabled: false }, // it aborts busy connections; liveness.ts does not
    connectionManager: {
      maxConnections: CONNECTIONS,
      inboundConnectionThreshold: NEW_CONNECTIONS,
      maxIncomingPendingConnections: NEW_CONNECTIONS,
      reconnectRetries: 0, // devices come to us
    },
    services: {
      identify: identify(),
      ping: ping(),
      relay: circuitRelayServer({
        maxInboundHopStreams: CIRCUITS,
        maxOutboundStopStreams: CIRCUITS,
        reservations: { applyDefaultLimit: false, maxReservations: RESERVATIONS },
      }),
    },
  })
  const { components } = node as unknown as Internals
  return {
    node,
    onInboundStream: (connection, onStream) => {
      const { muxer } = connection as unknown as ConnectionInternals
      if (muxer === undefined) throw new Error('libp2p has no muxer in a connection')
      muxer.addEventListener('stream', onStream)
    },
    gateProtocols: (gate) => {
      // node.use() is broken in libp2p 3.3; a new array each time, for libp2p pushes onto it.
      components.registrar.getMiddleware = (protocol) => [
        async (stream: Stream, connection: Connection, next) => {
          await gate(protocol, connection)
          next(stream, connection)
        },
      ]
    },
  }
}

/** We never dial; whom admission refused is turned away; circuits stay inside one organization. */
function gaterOf({ links, strangers }: NodeOptions): ConnectionGater {
  const isDenied = (peer: PeerId): boolean => strangers.isDenied(peer.toString())
  return {
    denyDialPeer: () => true,
    denyDialMultiaddr: () => true,
    denyInboundEncryptedConnection: isDenied,
    denyInboundRelayReservation: (peer) => !links.isKnown(peer.toString()),
    denyOutboundRelayedConnection: (source, destination) =>
      !links.shareOrganization(source.toString(), destination.toString()),
  }
}
