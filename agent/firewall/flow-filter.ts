/** Flow filter: the policy where there is no interface: every packet between the tunnel and the stack inside the process
 *  is judged by its flow's first one, as the kernel does it (nft-table.ts). */

import { isHostPrefix } from '../../protocol/address.ts'
import { prefixRange, rangeAt } from '../../protocol/address-range.ts'
import type { Clock } from '../../protocol/clock.ts'
import { PROTOCOL_NUMBERS } from '../../protocol/policy-decision.ts'
import type { Direction, PortRange } from '../../protocol/policy-rules.ts'
import type { PacketDevice } from '../tunnel/userspace/packet-device.ts'
import { type CompiledDirection, type CompiledPolicy, compilePolicy } from './compile.ts'
import { type Firewall, type FirewallConfig, NO_ALIASES } from './firewall.ts'
import { endNumber, endText, type FlowPacket, readFlowPacket } from './flow-packet.ts'
import { sourceChanges, withSource } from './packet-source.ts'

/** Flows and packets in fragments at once; beyond it the one that was silent longest is forgotten. */
export const FLOWS = 65_536
export const FRAGMENTED = 1024
/** Milliseconds without a packet after which a flow has ended: of TCP as RFC 5382 §5 has it, of UDP as RFC 4787 §4.3
 *  allows; of an echo, and of a packet in fragments (RFC 8200 §4.5: 60 s at most). */
const IDLE_MS = { tcp: 7_440_000, other: 300_000, echo: 30_000, fragments: 30_000 } as const
/** Milliseconds: a flow is put behind the others no more often. */
const TOUCH_MS = 1000

interface Flow {
  /** Who began: the other end, or this device. */
  readonly direction: Direction
  lastMs: number
  /** Of the policy that lets it pass, or DENIED: then it is remembered still, that none of its packets begins it anew
   *  as the other end's. */
  generation: number
}

const DENIED = -1

const EVERYTHING: CompiledPolicy = {
  inbound: { kind: 'default', verdict: 'accept' },
  outbound: { kind: 'default', verdict: 'accept' },
}

export class FlowFilter implements Firewall {
  onLost: (reason: string) => void = () => undefined
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #flows = new Map<string, Flow>()
  readonly #fragments = new Map<string, number>()
  #policy = EVERYTHING
  #meshPorts: FirewallConfig['meshPorts'] = { own: [], others: [] }
  /** This device's addresses as numbers: the mesh is nowhere else at this end. */
  #addresses: Readonly<Record<4 | 6, ReadonlySet<bigint>>> = { 4: new Set(), 6: new Set() }
  #generation = 0
  #arriving = sourceChanges([])
  #leaving = sourceChanges([])
  #denied = 0

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  /** Packets that it kept back. */
  get denied(): number {
    return this.#denied
  }

  async enforce({ policy, own, peers, meshPorts, aliases }: FirewallConfig): Promise<void> {
    this.#policy = compilePolicy(policy, own, peers)
    this.#meshPorts = meshPorts
    const ranges = own.prefixes.filter(isHostPrefix).map(prefixRange)
    const numbers = (of: 4 | 6): ReadonlySet<bigint> =>
      new Set(ranges.flatMap(({ family, first }) => (family === of ? [first] : [])))
    this.#addresses = { 4: numbers(4), 6: numbers(6) }
    this.#generation += 1
    const { arriving, leaving } = aliases ?? NO_ALIASES
    this.#arriving = sourceChanges(arriving.map(({ alias, prefix }) => [alias, prefix]))
    this.#leaving = sourceChanges(leaving.map(({ alias, prefix }) => [prefix, alias]))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flows.clear()
    this.#fragments.clear()
  }

  /** May it go on? @param way from or to the other devices */
  passes(packet: Uint8Array, way: 'arriving' | 'leaving'): boolean {
    const found = readFlowPacket(packet)
    const isPassing = found !== undefined && this.#isPassing(found, way)
    if (!isPassing) this.#denied += 1
    return isPassing
  }

  /** What goes on of it, from the source that it is from, or by its alias; undefined: nothing. */
  judged(packet: Uint8Array, way: 'arriving' | 'leaving'): Uint8Array | undefined {
    const inside = way === 'arriving' ? withSource(packet, this.#arriving) : packet
    if (!this.passes(inside, way)) return undefined
    return way === 'leaving' ? withSource(inside, this.#leaving) : inside
  }

  #isPassing(found: FlowPacket, way: 'arriving' | 'leaving'): boolean {
    const nowMs = this.#clock.monotonicMs()
    const { fragment, inner } = found
    if (found.kind === 'part') {
      return (
        fragment !== undefined &&
        nowMs - (this.#fragments.get(fragment) ?? -Infinity) <= IDLE_MS.fragments
      )
    }
    if (inner !== undefined) {
      const flow = this.#flows.get(keyOf(inner, way === 'arriving' ? 'leaving' : 'arriving'))
      if (flow === undefined || flow.generation === DENIED) return false
      return nowMs - flow.lastMs <= idleMs(inner)
    }
    const isPassing = this.#isFlowPassing(found, way, nowMs)
    if (isPassing && fragment !== undefined) remember(this.#fragments, fragment, nowMs, FRAGMENTED)
    return isPassing
  }

  #isFlowPassing(found: FlowPacket, way: 'arriving' | 'leaving', nowMs: number): boolean {
    const key = keyOf(found, way)
    const flow = this.#aliveFlow(key, found, nowMs)
    const begun = way === 'arriving' ? 'inbound' : 'outbound'
    // Nobody answers by opening, nor by a request; and nobody is answered who has not asked.
    const isNew =
      flow === undefined ||
      (flow.direction !== begun && (found.kind === 'open' || found.kind === 'request'))
    if (isNew && found.kind === 'reply') return false
    const direction = isNew ? begun : flow.direction
    if (!isNew && flow.generation === this.#generation) {
      this.#touch(key, flow, nowMs)
      return true
    }
    if (!this.#isAllowed(found, way, direction)) {
      if (isNew) return false
      flow.generation = DENIED
      this.#touch(key, flow, nowMs)
      return false
    }
    this.#flows.delete(key)
    remember(this.#flows, key, { direction, lastMs: nowMs, generation: this.#generation }, FLOWS)
    return true
  }

  #aliveFlow(key: string, found: FlowPacket, nowMs: number): Flow | undefined {
    const flow = this.#flows.get(key)
    if (flow === undefined || nowMs - flow.lastMs <= idleMs(found)) return flow
    this.#flows.delete(key)
    return undefined
  }

  #touch(key: string, flow: Flow, nowMs: number): void {
    if (nowMs - flow.lastMs < TOUCH_MS) return
    flow.lastMs = nowMs
    this.#flows.delete(key)
    this.#flows.set(key, flow)
  }

  #isAllowed(found: FlowPacket, way: 'arriving' | 'leaving', direction: Direction): boolean {
    const isOriginal = (way === 'arriving') === (direction === 'inbound')
    const port = isOriginal ? found.port : found.sourcePort
    const ports = direction === 'inbound' ? this.#meshPorts.own : this.#meshPorts.others
    if (found.protocol === PROTOCOL_NUMBERS.tcp && ports.includes(port)) {
      const local = endNumber(found, way === 'arriving' ? 'destination' : 'source')
      if (this.#addresses[found.family].has(local)) return true
    }
    const remote = endNumber(found, way === 'arriving' ? 'source' : 'destination')
    return isAllowedBy(this.#policy[direction], found, remote, port)
  }
}

/** The device with the filter before it: what does not pass is dropped, either way. */
export function filtered(device: PacketDevice, filter: FlowFilter): PacketDevice {
  const outside: PacketDevice = {
    onPacket: () => undefined,
    write: (packet) => {
      const inside = filter.judged(packet, 'arriving')
      if (inside !== undefined) device.write(inside)
    },
    configure: (settings) => device.configure(settings),
  }
  device.onPacket = (packet) => {
    const going = filter.judged(packet, 'leaving')
    if (going !== undefined) outside.onPacket(going)
  }
  return outside
}

function isAllowedBy(
  compiled: CompiledDirection,
  { family, protocol }: FlowPacket,
  remote: bigint,
  port: number,
): boolean {
  if (compiled.kind === 'default') return compiled.verdict === 'accept'
  const index = rangeAt(compiled.ranges[family], remote)?.class
  const allowance = index === undefined ? undefined : compiled.classes[index]
  if (allowance === undefined) return false
  if (allowance.protocols === 'all' || allowance.protocols.includes(protocol)) return true
  const isIn = (ports: readonly PortRange[]): boolean =>
    ports.some(({ from, to }) => from <= port && port <= to)
  if (protocol === PROTOCOL_NUMBERS.tcp) return isIn(allowance.tcp)
  return protocol === PROTOCOL_NUMBERS.udp && isIn(allowance.udp)
}

/** The same both ways. Echoes of either end are flows of their own. */
function keyOf(found: FlowPacket, way: 'arriving' | 'leaving'): string {
  const isArriving = way === 'arriving'
  const [local, remote] = [
    endText(found, isArriving ? 'destination' : 'source'),
    endText(found, isArriving ? 'source' : 'destination'),
  ]
  const [localPort, remotePort] = isArriving
    ? [found.port, found.sourcePort]
    : [found.sourcePort, found.port]
  const isEcho = found.kind === 'request' || found.kind === 'reply'
  const asker = isEcho ? ((found.kind === 'request') === isArriving ? 'i' : 'o') : ''
  return `${found.protocol}${asker} ${localPort} ${remotePort} ${local}${remote}`
}

function idleMs({ protocol, kind }: FlowPacket): number {
  if (protocol === PROTOCOL_NUMBERS.tcp) return IDLE_MS.tcp
  return kind === 'request' || kind === 'reply' ? IDLE_MS.echo : IDLE_MS.other
}

function remember<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  const oldest = map.keys().next()
  if (map.size >= most && !map.has(key) && oldest.done !== true) map.delete(oldest.value)
  map.set(key, value)
}
