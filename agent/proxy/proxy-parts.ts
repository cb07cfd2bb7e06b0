/** Proxy parts: what every port of the proxy works with. */
import type { IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import type { Stack } from '../stack/stack.ts'
import {
  type Backends,
  foundAlive,
  foundDead,
  newBackends,
  nextBackends,
  withRules,
} from './backends.ts'
import type { FlowCount } from './flow-table.ts'
import { LimitLog } from './limit-log.ts'
import type { MeshView } from './mesh-view.ts'
import { formatProxyRule, type ProxyRule } from './proxy-rule.ts'

export interface ProxyParts {
  readonly stack: Stack
  readonly mesh: MeshView
  readonly clock: Clock
  readonly log: Log
  /** Connections of all rules, shared. */
  readonly connections: ConnectionCount
  /** Flows of all rules, in a table for each port. */
  readonly flows: FlowCount
}

export interface ConnectionLimits {
  /** TCP connections through the proxy, of all rules and listeners. */
  readonly connections: number
  /** Of one source: the rest is for the others. */
  readonly ofSource: number
}

export const PROXY_LIMITS: ConnectionLimits = { connections: 4096, ofSource: 2048 }

/** A program of this host that is silent for so long is asked by TCP whether it is there. Milliseconds. */
export const KEEPALIVE_MS = 120_000

/** How many there are, and whose. */
export class ConnectionCount {
  readonly #of = new Map<string, number>()
  readonly #limits: ConnectionLimits
  readonly #full: LimitLog
  #all = 0

  constructor(log: Log, limits = PROXY_LIMITS) {
    this.#limits = limits
    this.#full = new LimitLog(log, 'proxy.connections-full', 'connections')
  }

  get size(): number {
    return this.#all
  }

  /** False, and none is counted, where there is no room. */
  enter(source: string): boolean {
    const own = this.#of.get(source) ?? 0
    const { connections, ofSource } = this.#limits
    if (this.#all >= connections) return this.#full.refused(connections)
    if (own >= ofSource) return this.#full.refused(ofSource, source)
    this.#of.set(source, own + 1)
    this.#all += 1
    return true
  }

  leave(source: string): void {
    const own = (this.#of.get(source) ?? 1) - 1
    if (own === 0) this.#of.delete(source)
    else this.#of.set(source, own)
    this.#all -= 1
    this.#full.left(own, this.#limits.ofSource, source)
    this.#full.left(this.#all, this.#limits.connections)
  }
}

/** The backends of one port, as they change. */
export class BackendChoice {
  readonly #parts: Pick<ProxyParts, 'clock' | 'log'>
  #backends: Backends

  constructor(rules: readonly ProxyRule[], parts: Pick<ProxyParts, 'clock' | 'log'>) {
    this.#parts = parts
    this.#backends = newBackends(rules)
  }

  setRules(rules: readonly ProxyRule[]): void {
    this.#backends = withRules(this.#backends, rules)
  }

  /** In the order in which to try them. */
  next(): readonly ProxyRule[] {
    const { order, backends } = nextBackends(this.#backends, this.#parts.clock.monotonicMs())
    this.#backends = backends
    return order
  }

  alive(rule: ProxyRule): void {
    this.#backends = foundAlive(this.#backends, rule)
  }

  dead(rule: ProxyRule, error: unknown): void {
    const name = formatProxyRule(rule)
    this.#parts.log('warn', 'proxy.dial-failed', { name, reason: explain(error) })
    this.#backends = foundDead(this.#backends, rule, this.#parts.clock.monotonicMs())
  }
}

/** One port that is listened on, for the rules that share it. */
export interface ProxyPort extends AsyncDisposable {
  readonly tried: Promise<void>
  setRules(rules: readonly ProxyRule[]): void
}

/** What a port is started with. */
export interface PortOptions {
  readonly port: number
  /** Of this host; for egress. */
  readonly bind: IpAddress
  readonly choice: BackendChoice
  readonly parts: ProxyParts
}
