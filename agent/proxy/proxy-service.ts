/** Proxy service: all of the proxy of one agent: rules, ports, listeners for programs of this host, and what the local
 *  API may do with them. */
import { join } from 'node:path'
import { hostPrefix, parsePrefix, prefixContains } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { type ProxyControls, ProxyRefusedError, type ProxyReport } from '../control/proxy-report.ts'
import { FlowCount } from './flow-table.ts'
import { startHttpProxy } from './http-server.ts'
import { keepListening } from './keep-listening.ts'
import type { MeshDialer } from './mesh-view.ts'
import { runProxy } from './proxy.ts'
import type { ListenAt, ProxyOptionValues } from './proxy-options.ts'
import { ConnectionCount, type ProxyParts } from './proxy-parts.ts'
import { formatProxyRule, type ProxyRule, parseProxyRule, proxyRuleKey } from './proxy-rule.ts'
import { openProxyRules, type ProxyRules } from './rule-store.ts'
import { startSocksServer } from './socks-server.ts'

const LOOPBACK = [parsePrefix('127.0.0.0/8'), parsePrefix('::1/128')]

export interface ProxyServiceOptions extends MeshDialer, Pick<ProxyParts, 'log'> {
  /** Where the rules are kept that outlast a restart. */
  readonly stateDir: string
  readonly options: ProxyOptionValues
}

export interface ProxyService extends AsyncDisposable {
  readonly controls: ProxyControls
}

/** Throws OperatorError (ERR_STATE_DIRECTORY) when the kept rules can't be read, MalformedError when an option is given
 *  twice. Ports that can't be listened on are tried again. */
export async function startProxyService({
  stateDir,
  options,
  ...rest
}: ProxyServiceOptions): Promise<ProxyService> {
  const { ingress = [], egress = [], egressBind, socks5, httpProxy } = options
  const rules = await openProxyRules(join(stateDir, 'proxy.json'), [...ingress, ...egress])
  const parts: ProxyParts = {
    ...rest,
    connections: new ConnectionCount(rest.log),
    flows: new FlowCount(),
  }
  await using started = new AsyncDisposableStack()
  const proxy = started.use(
    runProxy({ ...parts, rules, ...(egressBind === undefined ? {} : { egressBind }) }),
  )
  const listen = (name: string, at: ListenAt | undefined, start: typeof startSocksServer): void => {
    if (at === undefined) return
    const where = `${name} ${at.address} port ${at.port}`
    if (!LOOPBACK.some((prefix) => prefixContains(prefix, hostPrefix(at.address))))
      parts.log('warn', 'proxy.open-listener', {
        name: where,
        hint: 'whoever reaches this address reaches the mesh as this device: there is no password',
      })
    started.use(keepListening(() => start(at, parts), { ...parts, name: where }))
  }
  listen('socks5', socks5, startSocksServer)
  listen('http-proxy', httpProxy, startHttpProxy)
  await proxy.settled()
  const all = started.move()
  return {
    controls: controlsOf(rules, parts, () => proxy.settled()),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

function missing(rules: ProxyRules, wanted: readonly ProxyRule[]): readonly ProxyRule[] {
  const there = new Set(rules.list().map(({ rule }) => proxyRuleKey(rule)))
  return wanted.filter((rule) => !there.has(proxyRuleKey(rule)))
}

function controlsOf(
  rules: ProxyRules,
  { stack }: Pick<ProxyParts, 'stack'>,
  settled: () => Promise<void>,
): ProxyControls {
  const report = (): ProxyReport => ({
    addresses: [...stack.addresses()],
    rules: rules.list().map(({ rule, isOption }) => ({
      direction: rule.direction,
      rule: formatProxyRule(rule),
      isOption,
    })),
  })
  return {
    rules: report,
    change: async ({ action, ingress, egress }) => {
      try {
        const wanted = [
          ...ingress.map((text) => parseProxyRule('ingress', text)),
          ...egress.map((text) => parseProxyRule('egress', text)),
        ]
        if (action === 'remove') await rules.remove(wanted)
        else await rules.add(action === 'add' ? wanted : missing(rules, wanted))
      } catch (error) {
        if (error instanceof MalformedError) throw new ProxyRefusedError(error.message)
        throw error
      }
      await settled()
      return report()
    },
  }
}
