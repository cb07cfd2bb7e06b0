/** One run of the world: how long until all agents believe what one has said. */

import { gossipTopic } from '../../agent/mesh/gossip-parameters.ts'
import { apply, type OrganizationState } from '../../protocol/state.ts'
import {
  openOnce,
  type SimulatedOrganization,
  sealedEndpointUpdate,
  sealedMove,
  simulatedOrganization,
} from './agents.ts'
import { type GossipNode, startGossipNode } from './gossip-node.ts'
import { Link, type LinkModel, randomGraph } from './links.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface RunOptions {
  readonly agents: number
  readonly degree: number
  readonly events: number
  readonly links: LinkModel
  readonly seed: number
}

export interface EventResult {
  readonly kind: 'endpoint update' | 'moved /32'
  /** Milliseconds from publishing to belief, one for each other agent that came to believe it. */
  readonly latenciesMs: readonly number[]
  readonly missing: number
  readonly bytesPerAgent: number
  readonly messagesPerAgent: number
}

export interface RunResult {
  readonly events: readonly EventResult[]
  readonly meshDegree: number
  /** Bytes an agent sends in a second in which nothing happens. */
  readonly idleBytesPerSecond: number
}

interface World {
  readonly clock: VirtualClock
  readonly organization: SimulatedOrganization
  readonly nodes: readonly GossipNode[]
  readonly believedAt: (number | undefined)[]
  expected: string
}

export async function runConvergence(
  clock: VirtualClock,
  random: () => number,
  options: RunOptions,
): Promise<RunResult> {
  const world = await build(clock, random, options)
  await clock.advance(5000)
  const idle = await measureIdle(world)
  const events: EventResult[] = []
  for (let index = 0; index < options.events; index += 1) {
    events.push(
      await observe(world, index, 'endpoint update'),
      await observe(world, index, 'moved /32'),
    )
  }
  const meshDegree =
    world.nodes.reduce((sum, node) => sum + node.meshSize(), 0) / world.nodes.length
  for (const node of world.nodes) await node.stop()
  return { events, meshDegree, idleBytesPerSecond: idle }
}

async function build(
  clock: VirtualClock,
  random: () => number,
  options: RunOptions,
): Promise<World> {
  const organization = simulatedOrganization(options.agents, clock.now(), options.seed)
  const open = openOnce()
  const nodes: GossipNode[] = []
  const believedAt: (number | undefined)[] = []
  const world: World = { clock, organization, nodes, believedAt, expected: '' }
  for (let index = 0; index < options.agents; index += 1) {
    let state: OrganizationState = organization.state
    const node = await startGossipNode(
      options.seed * 1_000_003 + index,
      gossipTopic(organization.id),
      (data) => {
        const envelope = open(data)
        const verdict = apply(state, envelope, clock.now())
        state = verdict.state
        if (verdict.ok && envelope.id === world.expected) believedAt[index] = clock.monotonicMs()
        return verdict.ok ? 'accept' : 'ignore'
      },
    )
    nodes.push(node)
    if (index % 50 === 49) await clock.advance(20)
  }
  for (const [a, b] of randomGraph(options.agents, options.degree, random)) {
    const delay =
      options.links.delayMs[0] + random() * (options.links.delayMs[1] - options.links.delayMs[0])
    const [from, to] = [nodes[a], nodes[b]]
    if (from === undefined || to === undefined) continue
    from.connect(
      to,
      new Link(clock, random, options.links, delay),
      new Link(clock, random, options.links, delay),
    )
  }
  return world
}

async function measureIdle({ clock, nodes }: World): Promise<number> {
  const before = nodes.reduce((sum, { sent }) => sum + sent.bytes, 0)
  await clock.advance(30_000)
  return (nodes.reduce((sum, { sent }) => sum + sent.bytes, 0) - before) / nodes.length / 30
}

/** One device speaks; the world runs on until the slowest tail has had its chance. */
async function observe(
  world: World,
  index: number,
  kind: EventResult['kind'],
): Promise<EventResult> {
  const { clock, nodes, organization } = world
  const speaker = (index * 7919 + (kind === 'moved /32' ? 13 : 0)) % nodes.length
  const device = organization.devices[speaker]
  const node = nodes[speaker]
  if (device === undefined || node === undefined) throw new Error(`no device ${speaker}`)
  const bytes =
    kind === 'moved /32'
      ? sealedMove(organization, device, index + 1, clock.now())
      : sealedEndpointUpdate(organization, device, index + 1, clock.now())
  world.believedAt.length = 0
  world.expected = openOnce()(bytes).id
  const before = nodes.map(({ sent }) => ({ ...sent }))
  const started = clock.monotonicMs()
  await node.publish(bytes)
  await clock.advance(10_000)
  const latenciesMs = world.believedAt.filter((at) => at !== undefined).map((at) => at - started)
  const sum = (pick: (sent: GossipNode['sent']) => number): number =>
    nodes.reduce(
      (total, { sent }, place) =>
        total + pick(sent) - pick(before[place] ?? { bytes: 0, messages: 0 }),
      0,
    )
  return {
    kind,
    latenciesMs,
    missing: nodes.length - 1 - latenciesMs.length,
    bytesPerAgent: sum(({ bytes: sent }) => sent) / nodes.length,
    messagesPerAgent: sum(({ messages }) => messages) / nodes.length,
  }
}
