/** Proxy options: of the command line, and what they mean. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { explain } from '../errors.ts'
import { type ProxyDirection, type ProxyRule, parseProxyRule } from './proxy-rule.ts'

export interface ListenAt {
  readonly address: IpAddress
  readonly port: number
}

export interface ProxyOptionValues {
  readonly ingress?: readonly ProxyRule[]
  readonly egress?: readonly ProxyRule[]
  readonly egressBind?: readonly IpAddress[]
  readonly socks5?: ListenAt
  readonly httpProxy?: ListenAt
}

const LOOPBACK = parseIpAddress('127.0.0.1')

/** Adds them to a command; each value is parsed, and a mistake is the command line's. */
export function addProxyOptions(command: Command): Command {
  const rule = (direction: ProxyDirection, says: string) =>
    new Option(`--${direction} <rule>`, says).argParser((text, before: ProxyRule[] = []) => [
      ...before,
      ...checked(() => text.split(/\s+/).map((each) => parseProxyRule(direction, each))),
    ])
  return command
    .addOption(
      rule(
        'ingress',
        "a port of this device's addresses, to a host of the local network: tcp|udp:port:host:port[,proxy-protocol] (again for more)",
      ).env('NEXODUS_INGRESS'),
    )
    .addOption(
      rule(
        'egress',
        'a port of this host, to a device: tcp|udp:port:host:port[,bind=ADDRESS] (again for more)',
      ).env('NEXODUS_EGRESS'),
    )
    .addOption(
      new Option(
        '--egress-bind <address>',
        'addresses of this host that egress rules listen on (default: loopback; 0.0.0.0 for all)',
      )
        .argParser((text, before: IpAddress[] = []) => [
          ...before,
          checked(() => parseIpAddress(text)),
        ])
        .env('NEXODUS_EGRESS_BIND'),
    )
    .addOption(
      listener('--socks5', 'a SOCKS5 server by which programs of this host reach the mesh').env(
        'NEXODUS_SOCKS5',
      ),
    )
    .addOption(
      listener('--http-proxy', 'an HTTP proxy by which programs of this host reach the mesh').env(
        'NEXODUS_HTTP_PROXY',
      ),
    )
}

function listener(flag: string, says: string): Option {
  return new Option(`${flag} <[address:]port>`, says).argParser((text) =>
    checked(() => parseListenAt(text)),
  )
}

/** `1080`, `127.0.0.1:1080` or `[::1]:1080`. Throws MalformedError. */
export function parseListenAt(text: string): ListenAt {
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || !(port >= 1 && port <= 65_535))
    throw new MalformedError(`listener "${text.slice(0, 64)}", want [address:]port`)
  const address = match[1] ?? match[2]
  return { address: address === undefined ? LOOPBACK : parseIpAddress(address), port }
}

function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof MalformedError) throw new InvalidArgumentError(explain(error))
    throw error
  }
}
