/** Calibration: the same gossip with real libp2p nodes over TCP, noise and yamux on loopback, so that
 *  one knows how far the simulated figures can be trusted. */
import { noise } from '@chainsafe/libp2p-noise'
import { type GossipSub, gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2p } from 'libp2p'
import { gossipParameters, gossipTopic, tellOwn } from '../agent/mesh/gossip-parameters.ts'
import { openEnvelope } from '../protocol/envelope.ts'
import { apply, type OrganizationState } from '../protocol/state.ts'
import { seconds } from '../protocol/time.ts'
import { summary } from './statistics.ts'
import { sealedEndpointUpdate, simulatedOrganization } from './world/agents.ts'
import type { RunResult } from './world/convergence-run.ts'
import { randomGraph } from './world/links.ts'
import { seededRandom } from './world/virtual-clock.ts'

export interface Calibration {
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

interface CalibrationOptions {
  readonly agents: number
  readonly degree: number
  readonly events: number
  readonly seed: number
}

interface RealNode {
  readonly node: Libp2p<{ pubsub: GossipSub; identify: unknown }>
  readonly sent: { bytes: number; messages: number }
}

interface Measured {
  readonly meshDegree: number
  readonly bytes: number
  readonly messages: number
  readonly latenciesMs: readonly number[]
  readonly missing: number
}

export async function calibrate(
  simulated: RunResult,
  options: CalibrationOptions,
): Promise<Calibration> {
  const real = await measureReal(options)
  const updates = simulated.events.filter(({ kind }) => kind === 'endpoint update')
  const mean = (pick: (event: (typeof updates)[number]) => number): number =>
    updates.reduce((sum, event) => sum + pick(event), 0) / updates.length
  const model: Measured = {
    meshDegree: simulated.meshDegree,
    bytes: mean(({ bytesPerAgent }) => bytesPerAgent),
    messages: mean(({ messagesPerAgent }) => messagesPerAgent),
    latenciesMs: updates.flatMap(({ latenciesMs }) => latenciesMs),
    missing: updates.reduce((sum, { missing }) => sum + missing, 0),
  }
  const ratio = (a: number, b: number): string => (b === 0 ? '-' : (a / b).toFixed(2))
  const line = (name: string, pick: (m: Measured) => number): readonly string[] => [
    name,
    pick(model).toFixed(1),
    pick(real).toFixed(1),
    ratio(pick(model), pick(real)),
  ]
  return {
    header: ['50 nodes, one endpoint update', 'simulated', 'real', 'ratio'],
    rows: [
      line('mesh degree', ({ meshDegree }) => meshDegree),
      line('bytes a node', ({ bytes }) => bytes),
      line('messages a node', ({ messages }) => messages),
      line('not reached', ({ missing }) => missing),
      line(
        'p50 ms (real: 50 nodes share this machine)',
        ({ latenciesMs }) => summary(latenciesMs).p50,
      ),
    ],
  }
}

async function measureReal({
  agents,
  degree,
  events,
  seed,
}: CalibrationOptions): Promise<Measured> {
  const now = seconds(Math.floor(Date.now() / 1000))
  const organization = simulatedOrganization(agents, now, seed)
  const topic = gossipTopic(organization.id)
  const arrivals = new Map<string, number[]>()
  const nodes: RealNode[] = []
  for (let index = 0; index < agents; index += 1)
    nodes.push(await startReal(topic, organization.state, arrivals))
  for (const [a, b] of randomGraph(agents, degree, seededRandom(seed))) {
    const [from, to] = [nodes[a], nodes[b]]
    if (from !== undefined && to !== undefined) await from.node.dial(to.node.getMultiaddrs())
  }
  await pause(4000)
  for (const each of nodes) count(each)
  const latenciesMs: number[] = []
  let totals = { bytes: 0, messages: 0 }
  for (let index = 0; index < events; index += 1) {
    const speaker = nodes[(index * 7919) % agents]
    const device = organization.devices[(index * 7919) % agents]
    if (speaker === undefined || device === undefined) continue
    const bytes = sealedEndpointUpdate(organization, device, index + 1, now)
    const { id } = openEnvelope(bytes)
    arrivals.set(id, [])
    const before = total(nodes)
    const started = performance.now()
    await tellOwn(speaker.node.services.pubsub, topic, bytes)
    await pause(2500)
    const after = total(nodes)
    totals = {
      bytes: totals.bytes + after.bytes - before.bytes,
      messages: totals.messages + after.messages - before.messages,
    }
    latenciesMs.push(...(arrivals.get(id) ?? []).map((at) => at - started))
  }
  const meshDegree =
    nodes.reduce((sum, { node }) => sum + meshSize(node.services.pubsub, topic), 0) / agents
  await Promise.all(nodes.map(({ node }) => node.stop()))
  return {
    meshDegree,
    bytes: totals.bytes / agents / events,
    messages: totals.messages / agents / events,
    latenciesMs,
    missing: events * (agents - 1) - latenciesMs.length,
  }
}

async function startReal(
  topic: string,
  initial: OrganizationState,
  arrivals: ReadonlyMap<string, number[]>,
): Promise<RealNode> {
  let state = initial
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    connectionMonitor: { enabled: false },
    services: { identify: identify(), pubsub: gossipsub(gossipParameters(topic)) },
  })
  node.services.pubsub.topicValidators.set(topic, (_from, { data }) => {
    const envelope = openEnvelope(data)
    const verdict = apply(state, envelope, seconds(Math.floor(Date.now() / 1000)))
    state = verdict.state
    if (verdict.ok) arrivals.get(envelope.id)?.push(performance.now())
    return verdict.ok ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  })
  node.services.pubsub.subscribe(topic)
  return { node, sent: { bytes: 0, messages: 0 } }
}

function meshSize(pubsub: GossipSub, topic: string): number {
  const { mesh } = pubsub as unknown as { mesh: ReadonlyMap<string, ReadonlySet<string>> }
  return mesh.get(topic)?.size ?? 0
}

/** Counts what the node sends from now on, without the length in front, as the simulation does. */
function count({ node, sent }: RealNode): void {
  const { streamsOutbound } = node.services.pubsub as unknown as {
    streamsOutbound: Map<string, { pushPrefixed(data: { byteLength: number }): void }>
  }
  for (const stream of streamsOutbound.values()) {
    const push = stream.pushPrefixed.bind(stream)
    stream.pushPrefixed = (data) => {
      sent.bytes += data.byteLength - (data.byteLength > 128 ? 2 : 1)
      sent.messages += 1
      push(data)
    }
  }
}

function total(nodes: readonly RealNode[]): { bytes: number; messages: number } {
  return nodes.reduce(
    (sum, { sent }) => ({ bytes: sum.bytes + sent.bytes, messages: sum.messages + sent.messages }),
    { bytes: 0, messages: 0 },
  )
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
