/** Gossip: envelopes to and from every member near. */
import { type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import type { Clock } from '../../protocol/clock.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { MANIFEST_BYTES } from '../../protocol/limits.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import { tellOwn } from './gossip-parameters.ts'
import { deviceOfLink, type Link, type Links } from './links.ts'
import type { MeshNode } from './node.ts'

/** Milliseconds between looks for peers that gossipsub has silently lost. */
const REPAIR_MS = 5000
/** Milliseconds a link has to get its gossip stream by itself. */
const SETTLE_MS = 3000
/** Bytes of gossip that are looked at of one peer: a large one costs 10 ms, and whoever is in good standing
 *  can sign as many as it likes. 1,000 devices say 1 MB when all start at once. */
const LOOKED_AT = { burst: 4 * 1024 * 1024, perSecond: 65_536 }
/** Bytes that the smallest counts for: 2 ms in a large organization. */
const LEAST_COST = 1024

export interface GossipOptions {
  readonly links: Links
  receive(envelope: Envelope, from: DeviceId): 'accept' | 'ignore'
  /** Malformed or forged: whoever passes that on is at fault, whatever it knows. */
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
  readonly log: Log
}

export interface Gossip {
  /** Tells what this device says. */
  publish(bytes: Uint8Array): Promise<void>
  /** Tells what others said and this device has heard in another way, to no more than what came by gossip: a member
   *  is not to have others flooded. */
  passOn(bytes: Uint8Array): Promise<void>
  /** Call when the node has started. */
  subscribe(): void
  stop(): void
}

export function startGossip(mesh: MeshNode, options: GossipOptions): Gossip {
  const { gossip, topic } = mesh
  const pace = new Pace(LOOKED_AT)
  gossip.topicValidators.set(topic, (from, message) => {
    const cost = Math.max(LEAST_COST, message.data.length)
    const isInPace = pace.spend(from.toString(), cost, options.clock.monotonicMs())
    return isInPace ? validate(from, message, options) : TopicValidatorResult.Ignore
  })
  options.links.onDown(({ peer }) => {
    const [other] = options.links.to(peer)
    if (other !== undefined) repair(mesh, other)
  })
  const repairing = options.clock.every(REPAIR_MS, () => {
    const settled = options.clock.nowMs() - SETTLE_MS
    for (const link of options.links.all()) if (link.sinceMs < settled) repair(mesh, link)
  })
  return {
    publish: (bytes) => tellOwn(gossip, topic, bytes),
    passOn: async (bytes) => {
      await gossip.publish(topic, bytes)
    },
    subscribe: () => gossip.subscribe(topic),
    stop: () => {
      repairing.cancel()
      clearTimeout(gossip.status.heartbeatTimeout)
    },
  }
}

function validate(from: PeerId, { data }: Message, options: GossipOptions): TopicValidatorResult {
  const [link] = options.links.to(from.toString())
  const device = link && deviceOfLink(link)
  if (link === undefined || device === undefined) return TopicValidatorResult.Ignore
  try {
    if (data.length > MANIFEST_BYTES) throw new MalformedError(`envelope: ${data.length} bytes`)
    const verdict = options.receive(openEnvelope(data), device)
    return verdict === 'accept' ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  } catch (error) {
    if (error instanceof MalformedError || error instanceof BadSignatureError) {
      options.onFault(link, error)
      return TopicValidatorResult.Reject
    }
    throw error
  }
}

/** Of two connections to a peer the one with the gossip streams may close: gossipsub then keeps the
 *  peer but never speaks to it again. */
function repair({ gossip }: MeshNode, link: Link): void {
  if (deviceOfLink(link) === undefined || gossip.streamsOutbound.has(link.peer)) return
  gossip.onPeerConnected(link.connection.remotePeer, link.connection)
}
