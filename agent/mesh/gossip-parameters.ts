/** Gossipsub's parameters: the mesh runs with them, and so does the simulator. Each was measured at
 *  1,000 nodes; see simulations/convergence.ts. */
import { type GossipsubOpts, StrictNoSign } from '@libp2p/gossipsub'
import { createTopicScoreParams } from '@libp2p/gossipsub/score'
import { sha256 } from '../../crypto/hash.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { FRAME_BYTES } from '../../protocol/limits.ts'

export function gossipTopic(organization: OrganizationId): string {
  return `nexodus/1/${organization}`
}

export function gossipParameters(topic: string): Partial<GossipsubOpts> {
  return {
    globalSignaturePolicy: StrictNoSign, // envelopes sign themselves
    msgIdFn: (message) => sha256(message.data).subarray(0, 20),
    D: 6,
    Dlo: 4,
    Dhi: 12,
    floodPublish: false,
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
