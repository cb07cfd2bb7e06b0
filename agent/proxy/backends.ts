/** Backends: the rules that share a port take turns; one that does not answer is passed over for a while. */
import { type ProxyRule, proxyRuleKey } from './proxy-rule.ts'

/** Milliseconds that a backend is passed over after it could not be reached, as long as another can. */
export const DEAD_MS = 10_000

export interface Backends {
  readonly rules: readonly ProxyRule[]
  /** Which rule is next. */
  readonly turn: number
  /** When a rule was found dead, by key, milliseconds. */
  readonly deadMs: ReadonlyMap<string, number>
}

export function newBackends(rules: readonly ProxyRule[]): Backends {
  return { rules, turn: 0, deadMs: new Map() }
}

/** The same backends with other rules: what is known of those that stay is kept. */
export function withRules(backends: Backends, rules: readonly ProxyRule[]): Backends {
  const keys = new Set(rules.map(proxyRuleKey))
  const deadMs = new Map([...backends.deadMs].filter(([key]) => keys.has(key)))
  return { rules, turn: rules.length === 0 ? 0 : backends.turn % rules.length, deadMs }
}

/** The rules in the order in which to try them, and the backends with the turn passed on. Those found dead lately
 *  come last: where all are, each is tried. */
export function nextBackends(
  backends: Backends,
  nowMs: number,
): { order: readonly ProxyRule[]; backends: Backends } {
  const { rules, turn, deadMs } = backends
  const turned = [...rules.slice(turn), ...rules.slice(0, turn)]
  const isDead = (rule: ProxyRule) =>
    nowMs - (deadMs.get(proxyRuleKey(rule)) ?? Number.NEGATIVE_INFINITY) < DEAD_MS
  const alive = turned.filter((rule) => !isDead(rule))
  const [first] = alive
  const from = first === undefined ? turn : rules.indexOf(first)
  return {
    order: [...alive, ...turned.filter(isDead)],
    backends: { ...backends, turn: rules.length === 0 ? 0 : (from + 1) % rules.length },
  }
}

export function foundDead(backends: Backends, rule: ProxyRule, nowMs: number): Backends {
  return { ...backends, deadMs: new Map(backends.deadMs).set(proxyRuleKey(rule), nowMs) }
}

export function foundAlive(backends: Backends, rule: ProxyRule): Backends {
  const deadMs = new Map(backends.deadMs)
  return deadMs.delete(proxyRuleKey(rule)) ? { ...backends, deadMs } : backends
}
