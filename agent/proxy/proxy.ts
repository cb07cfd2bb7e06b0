/** Proxy: keeps the ports open that the rules want, and no others. */
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { keepListening } from './keep-listening.ts'
import { BackendChoice, type ProxyParts, type ProxyPort } from './proxy-parts.ts'
import type { ProxyRule } from './proxy-rule.ts'
import type { ProxyRules } from './rule-store.ts'
import { startTcpEgress, startTcpIngress } from './tcp-ports.ts'
import { startUdpEgress, startUdpIngress } from './udp-ports.ts'

export interface ProxyOptions extends ProxyParts {
  readonly rules: ProxyRules
  /** Addresses of this host that egress rules listen on which name none. */
  readonly egressBind?: readonly IpAddress[]
}

export interface RunningProxy extends AsyncDisposable {
  /** Resolves when every port that is wanted now has been tried. */
  settled(): Promise<void>
}

/** Loopback: whoever reaches this host need not reach the mesh. */
const LOOPBACK: readonly IpAddress[] = [parseIpAddress('127.0.0.1'), parseIpAddress('::1')]
const NO_BIND = parseIpAddress('0.0.0.0')

const STARTS = {
  'ingress tcp': startTcpIngress,
  'ingress udp': startUdpIngress,
  'egress tcp': startTcpEgress,
  'egress udp': startUdpEgress,
} as const

export function runProxy(options: ProxyOptions): RunningProxy {
  const ports = new Map<string, ProxyPort>()
  let changing: Promise<unknown> = Promise.resolve()
  const follow = async (): Promise<void> => {
    const wanted = portsOf(
      options.rules.list().map(({ rule }) => rule),
      options.egressBind ?? LOOPBACK,
    )
    const ended = [...ports].filter(([key]) => !wanted.has(key))
    for (const [key] of ended) ports.delete(key)
    await Promise.all(ended.map(([, port]) => port[Symbol.asyncDispose]()))
    for (const [key, group] of wanted) {
      const known = ports.get(key)
      if (known === undefined) ports.set(key, openPort(key, group, options))
      else known.setRules(group.rules)
    }
    await Promise.all([...ports.values()].map(({ tried }) => tried))
  }
  const change = (): void => {
    changing = changing.then(follow)
  }
  change()
  const unwatch = options.rules.watch(change)
  return {
    settled: async () => {
      await changing
    },
    [Symbol.asyncDispose]: async () => {
      unwatch()
      await changing
      await Promise.all([...ports.values()].map((port) => port[Symbol.asyncDispose]()))
    },
  }
}

interface PortGroup {
  readonly bind: IpAddress
  readonly rules: readonly ProxyRule[]
}

/** By what is listened on: the rules that share it. */
function portsOf(
  rules: readonly ProxyRule[],
  egressBind: readonly IpAddress[],
): ReadonlyMap<string, PortGroup> {
  const groups = new Map<string, PortGroup>()
  for (const rule of rules) {
    const own = rule.bind === undefined ? egressBind : [rule.bind]
    for (const bind of rule.direction === 'ingress' ? [NO_BIND] : own) {
      const at = rule.direction === 'ingress' ? 'mesh' : bind
      const key = `${rule.direction} ${rule.protocol} ${at} port ${rule.port}`
      groups.set(key, { bind, rules: [...(groups.get(key)?.rules ?? []), rule] })
    }
  }
  return groups
}

function openPort(key: string, { bind, rules }: PortGroup, parts: ProxyParts): ProxyPort {
  const [rule] = rules
  if (rule === undefined) throw new Error('a port has a rule')
  const choice = new BackendChoice(rules, parts)
  const start = STARTS[`${rule.direction} ${rule.protocol}`]
  const listening = keepListening(() => start({ port: rule.port, bind, choice, parts }), {
    name: key,
    clock: parts.clock,
    log: parts.log,
  })
  return {
    tried: listening.tried,
    setRules: (wanted) => choice.setRules(wanted),
    [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose](),
  }
}
