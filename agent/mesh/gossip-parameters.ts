/** Gossipsub's parameters: the mesh runs with them, and so does the simulator. Each was measured at
 *  1,000 nodes; see simulations/convergence.ts. */
import { type GossipsubOpts, StrictNoSign } from '@libp2p/gossipsub'
import { createTopicScoreParams } from '@libp2p/gossipsub/score'
import { sha256 } from '../../crypto/hash.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { ENVELOPE_BYTES, FRAME_BYTES } from '../../protocol/limits.ts'

export function gossipTopic(organization: OrganizationId): string {
  return `nexodus/1/${organization}`
}

/** Members that a device tells at once what it says itself. Kept peers are about 12, and some have twice as many; who has
 *  yet more connections, as a relay has, leaves it to its mesh. */
const TOLD_AT_ONCE = 32

/** As much of gossipsub as telling needs. */
export interface Teller {
  getSubscribers(topic: string): readonly unknown[]
  publish(topic: string, bytes: Uint8Array, how: { floodPublish: boolean }): Promise<unknown>
}

/** Tells a statement that begins here. To all neighbours: the first step reaches twice as many for some messages in all,
 *  whereas each that passes it on costs as many again. Only what is small, and only to so many: at most 64 kB. */
export async function tellOwn(gossip: Teller, topic: string, bytes: Uint8Array): Promise<void> {
  const isSmall = bytes.length <= ENVELOPE_BYTES
  const floodPublish = isSmall && gossip.getSubscribers(topic).length <= TOLD_AT_ONCE
  await gossip.publish(topic, bytes, { floodPublish })
}

export function gossipParameters(topic: string): Partial<GossipsubOpts> {
  return {
    globalSignaturePolicy: StrictNoSign, // envelopes sign themselves
    msgIdFn: (message) => sha256(message.data).subarray(0, 20),
    // Nobody with fewer than six to pass on to: with four, one in 20 of 100 hears a statement by the fourth link only. What
    // they cost, fewer tellings of what one has (IHAVE) give back: three neighbours in each of three heartbeats. With a
    // third of the members silent it still takes no such telling to reach all the others.
    D: 7,
    Dlo: 6,
    Dhi: 10,
    Dlazy: 3,
    floodPublish: false, // but see tellOwn
    fallbackToFloodsub: false,
    idontwantMinDataSize: 1 << 20, // our messages are small: telling costs more than it saves
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    runOnLimitedConnection: true,
    allowedTopics: [topic],
    maxInboundDataLength: 4 * FRAME_BYTES, // an answer to IWANT holds several messages
    scoreParams: {
      // Behind one NAT or one relay all peers share an address: counting that cut delivery to 57 %.
      IPColocationFactorWeight: 0,
      topics: {
        // Without parameters for the topic a rejected message costs its sender nothing.
        [topic]: createTopicScoreParams({
          topicWeight: 1,
          timeInMeshWeight: 0,
          meshMessageDeliveriesWeight: 0,
          meshFailurePenaltyWeight: 0,
          firstMessageDeliveriesWeight: 0,
          invalidMessageDeliveriesWeight: -20,
          invalidMessageDeliveriesDecay: 0.9,
        }),
      },
    },
  }
}
