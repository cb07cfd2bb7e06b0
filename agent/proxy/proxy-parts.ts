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
import type { MeshView } from './mesh-view.ts'
import { formatProxyRule, type ProxyRule } from './proxy-rule.ts'

export interface ProxyParts {
  readonly stack: Stack
  readonly mesh: MeshView
  readonly clock: Clock
  readonly log: Log
  /** Connections of all rules, shared. */
  readonly connections: ConnectionCount
}

export const PROXY_LIMITS = {
  /** TCP connections through the proxy, of all rules and listeners. */
  connections: 4096,
  /** Of one port that listens in the mesh, of one source: the rest is for the others. */
  ofSource: 2048,
} as const

/** How many there are, and whose. */
export class ConnectionCount {
  readonly #of = new Map<string, number>()
  #all = 0

  get size(): number {
    return this.#all
  }

  /** False, and none is counted, where there is no room. */
  enter(source: string): boolean {
    const own = this.#of.get(source) ?? 0
    if (this.#all >= PROXY_LIMITS.connections || own >= PROXY_LIMITS.ofSource) return false
    this.#of.set(source, own + 1)
    this.#all += 1
    return true
  }

  leave(source: string): void {
    const own = (this.#of.get(source) ?? 1) - 1
    if (own === 0) this.#of.delete(source)
    else this.#of.set(source, own)
    this.#all -= 1
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
