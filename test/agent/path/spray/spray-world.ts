/** Two sprayers' plans and the NAT between them, on a virtual clock. */
import { BATCH_MS } from '../../../../agent/path/spray/limits.ts'
import { sprayStep } from '../../../../agent/path/spray/plan.ts'
import { randomPorts } from '../../../../agent/path/spray/ports.ts'
import {
  NO_SPRAY,
  type SprayAction,
  type SprayFacts,
  type SprayInput,
  type SprayPeer,
  type SpraySide,
  type SprayState,
} from '../../../../agent/path/spray/spray-state.ts'
import { type Endpoint, parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import type { Candidate, CandidateKind } from '../../../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import type { NatFiltering, NatMapping, NatReport } from '../../../../protocol/nat-report.ts'
import { seededRandom, VirtualClock } from '../../../../simulations/world/virtual-clock.ts'

export const HARD = 'hard' as DeviceId
export const EASY = 'easy' as DeviceId
export const HARD_ADDRESS = parseIpAddress('198.51.100.1')
export const TARGET = parseEndpoint('203.0.113.2:51820')
/** Of the punch stream, of the sockets, and one way between the two. */
const [TALK_MS, OPEN_MS, WAY_MS] = [50, 30, 20]

export function natReport(
  mapping: NatMapping,
  filtering: NatFiltering = 'unknown',
  family: 4 | 6 = 4,
): NatReport {
  const rest = { hairpinning: 'unknown', portPreserved: 'unknown', lifetime: 0 } as const
  return { family, mapping, filtering, udp: 'works', ...rest }
}

export function candidate(text: string, kind: CandidateKind = 'server-reflexive'): Candidate {
  return { kind, ...parseEndpoint(text) }
}

export const HARD_SIDE: SpraySide = {
  nat: [natReport('address-and-port-dependent')],
  candidates: [candidate('10.0.0.2:51820', 'host'), candidate('198.51.100.1:40000')],
}
export const EASY_SIDE: SpraySide = {
  nat: [natReport('endpoint-independent')],
  candidates: [candidate('10.0.0.2:51820', 'host'), candidate('203.0.113.2:51820')],
}

export interface Logged {
  readonly atMs: number
  readonly action: SprayAction
}

/** One agent's plan, with what it knows of its peers. */
export class SprayAgent {
  readonly actions: Logged[] = []
  readonly peers = new Map<DeviceId, SprayPeer>()
  readonly #random: () => number
  own: SpraySide
  state: SprayState = NO_SPRAY

  constructor(own: SpraySide, seed: number) {
    this.own = own
    this.#random = seededRandom(seed)
  }

  /** Relayed since the beginning, with packets all the while, unless it says otherwise. */
  knows(device: DeviceId, side: SpraySide, more: Partial<SprayPeer> = {}): void {
    const path = { relayedMs: 0, direct: undefined, packetsMs: Infinity }
    this.peers.set(device, { device, ...side, ...path, ...more })
  }

  give(input: SprayInput, nowMs: number): readonly SprayAction[] {
    const facts: SprayFacts = {
      own: this.own,
      peers: () => this.peers.values(),
      peer: (device) => this.peers.get(device),
      ports: () =>
        randomPorts(2048, (length) =>
          Uint8Array.from({ length }, () => Math.floor(this.#random() * 256)),
        ),
    }
    const { state, actions } = sprayStep(this.state, input, facts, nowMs)
    this.state = state
    this.actions.push(...actions.map((action) => ({ atMs: nowMs, action })))
    return actions
  }

  of<K extends SprayAction['kind']>(
    kind: K,
  ): readonly { readonly atMs: number; readonly action: SprayAction & { readonly kind: K } }[] {
    const isOf = (one: Logged): one is Logged & { action: SprayAction & { kind: K } } =>
      one.action.kind === kind
    return this.actions.filter(isOf)
  }

  /** Packets that left for strangers: probes, and openers. */
  get packets(): readonly { readonly atMs: number; readonly count: number }[] {
    return [
      ...this.of('send-probe').map(({ atMs }) => ({ atMs, count: 1 })),
      ...this.of('send-openers').map(({ atMs, action }) => ({ atMs, count: action.count })),
    ]
  }

  reports(): readonly string[] {
    return this.of('report').map(({ action }) => action.event)
  }
}

export interface SprayWorld {
  readonly hard: SprayAgent
  readonly easy: SprayAgent
  readonly clock: VirtualClock
  /** Both plans tick for so long. */
  run(ms: number): Promise<void>
}

/** @param options.hasOption has the easy side the option? `natAnswers`: does a probe meet a mapping? */
export function newSprayWorld(
  options: {
    readonly seed?: number
    readonly hard?: SpraySide
    readonly easy?: SpraySide
    readonly hasOption?: boolean
    readonly natAnswers?: boolean
  } = {},
): SprayWorld {
  const { seed = 1, hard: hardSide = HARD_SIDE, easy: easySide = EASY_SIDE } = options
  const { hasOption = true, natAnswers = true } = options
  const clock = new VirtualClock()
  const random = seededRandom(seed + 1000)
  const [hard, easy] = [new SprayAgent(hardSide, seed), new SprayAgent(easySide, seed + 1)]
  hard.knows(EASY, easySide)
  easy.knows(HARD, hardSide)
  /** Sockets by the port of their mapping. */
  const mappings = new Map<number, number>()
  let met: Endpoint | undefined
  const give = (agent: SprayAgent, input: SprayInput): void => {
    for (const action of agent.give(input, clock.monotonicMs())) perform(agent, action)
  }
  const found = (endpoint: Endpoint): void => {
    give(easy, { kind: 'answered', device: HARD, from: endpoint })
    hard.knows(EASY, easySide, { relayedMs: Infinity, direct: TARGET })
    easy.knows(HARD, hardSide, { relayedMs: Infinity, direct: endpoint })
  }
  const map = (first: number, count: number): void => {
    const known = new Set(mappings.values())
    for (let socket = first; socket < first + count; socket++)
      if (!known.has(socket)) mappings.set(1024 + Math.floor(random() * 64_512), socket)
  }
  const perform = (agent: SprayAgent, action: SprayAction): void => {
    const other = agent === hard ? easy : hard
    const device = agent === hard ? HARD : EASY
    switch (action.kind) {
      case 'say':
        if (other === hard || hasOption)
          clock.after(TALK_MS, () => give(other, { kind: 'told', device, spray: action.spray }))
        break
      case 'open':
        mappings.clear()
        met = undefined
        clock.after(OPEN_MS, () => give(hard, { kind: 'opened', device: EASY }))
        break
      case 'send-openers':
        map(action.first, action.count)
        break
      case 'send-probe': {
        const socket = natAnswers ? mappings.get(action.to.port) : undefined
        if (socket === undefined) break
        met ??= action.to
        clock.after(WAY_MS, () => give(hard, { kind: 'hit', device: EASY, socket, from: TARGET }))
        break
      }
      case 'hold':
        clock.after(WAY_MS, () => met && found(met))
        break
      case 'close':
        mappings.clear()
        break
      default:
        break
    }
  }
  clock.every(BATCH_MS, () => give(hard, { kind: 'tick' }))
  clock.every(BATCH_MS, () => give(easy, { kind: 'tick' }))
  return { hard, easy, clock, run: (ms) => clock.advance(ms) }
}

/** Of the sums over every second that begins with a packet. */
export function mostInASecond(
  packets: readonly { readonly atMs: number; readonly count: number }[],
): number {
  const sums = packets.map(({ atMs }) =>
    packets
      .filter((one) => one.atMs >= atMs && one.atMs < atMs + 1000)
      .reduce((sum, { count }) => sum + count, 0),
  )
  return Math.max(0, ...sums)
}
