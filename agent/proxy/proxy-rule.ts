/** Proxy rule: what is listened on, and where it goes. `tcp:8080:10.0.0.5:80`, with options after a comma:
 *
 *    protocol:port:host:port[,proxy-protocol][,bind=ADDRESS]
 *
 *  `ingress` listens on this device's addresses in the mesh and dials in the local network; `egress` listens on this
 *  host and dials through the mesh. `proxy-protocol` sends a header of the PROXY protocol, version 2, before what the
 *  source sends. `bind` is the address of this host that an egress rule listens on. */
import ipaddr from 'ipaddr.js'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'

export type ProxyDirection = 'ingress' | 'egress'
export type ProxyProtocol = 'tcp' | 'udp'

export interface ProxyRule {
  readonly direction: ProxyDirection
  readonly protocol: ProxyProtocol
  readonly port: number
  /** A host name, or an address in canonical form without brackets. */
  readonly host: string
  readonly hostPort: number
  readonly proxyProtocol: boolean
  /** Absent: the default of the daemon. */
  readonly bind?: IpAddress
}

const LONGEST_RULE = 400
const LONGEST_HOST = 253
const HOST_NAME = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?$/i

/** Throws MalformedError, which names the field, what is wanted and what was given. */
export function parseProxyRule(direction: ProxyDirection, text: string): ProxyRule {
  const fail = (what: string): never => {
    throw new MalformedError(`${direction} rule "${text.slice(0, 80)}": ${what}`)
  }
  if (text.length > LONGEST_RULE) fail(`${text.length} characters, at most ${LONGEST_RULE}`)
  const [fields = '', ...options] = text.split(',')
  const match = /^([^:]*):([^:]*):(\[[^\]]*\]|[^:[\]]*):([^:]*)$/.exec(fields)
  if (match === null)
    return fail(
      'want protocol:port:host:port, with an IPv6 host in brackets, as tcp:80:[fd00::1]:8080',
    )
  const [, protocolText = '', portText = '', hostText = '', hostPortText = ''] = match
  const protocol = protocolText.toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp')
    return fail(`protocol "${protocolText}", want tcp or udp`)
  return {
    direction,
    protocol,
    port: parsePort(portText, 'port', fail),
    host: parseHost(hostText, fail),
    hostPort: parsePort(hostPortText, 'port of the host', fail),
    ...parseOptions(options, { direction, protocol }, fail),
  }
}

/** As it is typed; parses to an equal rule. */
export function formatProxyRule(rule: ProxyRule): string {
  const host = rule.host.includes(':') ? `[${rule.host}]` : rule.host
  return [
    `${rule.protocol}:${rule.port}:${host}:${rule.hostPort}`,
    ...(rule.proxyProtocol ? ['proxy-protocol'] : []),
    ...(rule.bind === undefined ? [] : [`bind=${rule.bind}`]),
  ].join(',')
}

/** The same for equal rules, whatever they were typed like. */
export function proxyRuleKey(rule: ProxyRule): string {
  return `${rule.direction} ${formatProxyRule(rule)}`
}

type Fail = (what: string) => never

function parsePort(text: string, field: string, fail: Fail): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65_535) return port
  return fail(`${field} "${text}", want 1 to 65535`)
}

function parseHost(text: string, fail: Fail): string {
  if (text === '') return fail('host is empty, want a name or an address')
  if (text.startsWith('[')) {
    const inner = text.slice(1, -1)
    if (!ipaddr.IPv6.isValid(inner) || inner.includes('%'))
      return fail(`host "${text}", want an IPv6 address in brackets`)
    return parseIpAddress(inner)
  }
  if (text.length > LONGEST_HOST)
    return fail(`host of ${text.length} characters, at most ${LONGEST_HOST}`)
  if (/^[\d.]+$/.test(text)) {
    if (ipaddr.IPv4.isValidFourPartDecimal(text)) return text
    return fail(`host "${text}", want an IPv4 address of four parts`)
  }
  if (!HOST_NAME.test(text)) return fail(`host "${text}", want a name or an address`)
  return text.toLowerCase()
}

function parseOptions(
  options: readonly string[],
  rule: Pick<ProxyRule, 'direction' | 'protocol'>,
  fail: Fail,
): Pick<ProxyRule, 'proxyProtocol' | 'bind'> {
  let proxyProtocol = false
  let bind: IpAddress | undefined
  for (const option of options) {
    if (option === 'proxy-protocol' && rule.protocol === 'udp')
      return fail('proxy-protocol is for tcp only')
    if (option === 'proxy-protocol') proxyProtocol = true
    else if (option.startsWith('bind=') && rule.direction === 'ingress')
      return fail('bind is for egress only: an ingress rule listens on the addresses in the mesh')
    else if (option.startsWith('bind=')) bind = parseBind(option.slice(5), fail)
    else return fail(`option "${option}", want proxy-protocol or bind=ADDRESS`)
  }
  return { proxyProtocol, ...(bind === undefined ? {} : { bind }) }
}

function parseBind(text: string, fail: Fail): IpAddress {
  try {
    return parseIpAddress(text)
  } catch (error) {
    if (error instanceof MalformedError) return fail(`bind "${text}", want an IP address`)
    throw error
  }
}
