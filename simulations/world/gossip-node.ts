/** A gossip node: gossipsub itself, with the mesh's own parameters, over links of the world. */

import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { type GossipSub, gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { gossipParameters, tellOwn } from '../../agent/mesh/gossip-parameters.ts'
import type { Link } from './links.ts'

export type Validation = 'accept' | 'ignore' | 'reject'

interface Lifecycle {
  start(): Promise<void>
  stop(): Promise<void>
}

/** What the node does at the seam to gossipsub; everything else in it is the library's own. */
interface Internals {
  readonly streamsOutbound: Map<string, unknown>
  readonly subscriptions: Set<string>
  readonly mesh: Map<string, Set<string>>
  addPeer(peer: PeerId, direction: 'inbound' | 'outbound', address: unknown): void
  decodeRpc(bytes: Uint8Array): unknown
  handleReceivedRpc(from: PeerId, rpc: unknown): Promise<void>
  sendSubscriptions(to: string, topics: readonly string[], subscribe: boolean): void
}

export interface GossipNode {
  readonly sent: { bytes: number; messages: number }
  publish(data: Uint8Array): Promise<void>
  connect(other: GossipNode, there: Link, back: Link): void
  meshSize(): number
  stop(): Promise<void>
  readonly internals: Internals
  readonly peerId: PeerId
}

const ADDRESS = multiaddr('/ip4/192.0.2.1/tcp/1')

export async function startGossipNode(
  seed: number,
  topic: string,
  validate: (data: Uint8Array) => Validation,
): Promise<GossipNode> {
  const privateKey = await generateKeyPairFromSeed('Ed25519', seedBytes(seed))
  const peerId = peerIdFromPrivateKey(privateKey)
  const pubsub = gossipsub({ ...gossipParameters(topic), tagMeshPeers: false })(
    components(privateKey, peerId) as never,
  ) as GossipSub & Lifecycle
  const results = {
    accept: TopicValidatorResult.Accept,
    ignore: TopicValidatorResult.Ignore,
    reject: TopicValidatorResult.Reject,
  }
  pubsub.topicValidators.set(topic, (_from, message) => results[validate(message.data)])
  await pubsub.start()
  pubsub.subscribe(topic)
  const internals = pubsub as unknown as Internals
  const node: GossipNode = {
    sent: { bytes: 0, messages: 0 },
    internals,
    peerId,
    publish: (data) => tellOwn(pubsub, topic, data),
    connect: (other, there, back) => {
      attach(node, other, there, 'outbound')
      attach(other, node, back, 'inbound')
    },
    meshSize: () => internals.mesh.get(topic)?.size ?? 0,
    stop: () => pubsub.stop(),
  }
  return node
}

/** From now on what `from` sends to `to` travels by `link`. */
function attach(
  from: GossipNode,
  to: GossipNode,
  link: Link,
  direction: 'inbound' | 'outbound',
): void {
  const push = (bytes: Uint8Array): void => {
    from.sent.bytes += bytes.length
    from.sent.messages += 1
    const copy = Uint8Array.from(bytes)
    link.send(() => {
      void to.internals.handleReceivedRpc(from.peerId, to.internals.decodeRpc(copy))
    })
  }
  const id = to.peerId.toString()
  from.internals.addPeer(to.peerId, direction, ADDRESS)
  from.internals.streamsOutbound.set(id, {
    protocol: '/meshsub/1.2.0',
    close: async () => {},
    push,
    pushPrefixed: (prefixed: { subarray(): Uint8Array }) =>
      push(withoutLength(prefixed.subarray())),
  })
  from.internals.sendSubscriptions(id, [...from.internals.subscriptions], true)
}

/** Strips the varint that precedes a message on a stream. */
function withoutLength(bytes: Uint8Array): Uint8Array {
  const end = bytes.findIndex((byte) => byte < 0x80)
  return bytes.subarray(end + 1)
}

function seedBytes(seed: number): Uint8Array {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, seed)
  return bytes
}

/** The few things gossipsub asks of libp2p. */
function components(privateKey: unknown, peerId: PeerId): object {
  return {
    privateKey,
    peerId,
    logger: defaultLogger(),
    connectionManager: { openConnection: async () => undefined },
    peerStore: { merge: async () => undefined, get: async () => undefined },
    registrar: {
      handle: async () => {},
      unhandle: async () => {},
      register: async () => 'topology',
      unregister: () => {},
      getTopologies: () => [],
    },
  }
}
