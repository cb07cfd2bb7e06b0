/** Route probe: the target behind a router by which those who use the route see whether it works (SPEC §6.5). It lies
 *  inside the prefix, so that nobody is sent to ask a host that the certificate does not let the router speak for. */
import {
  type Endpoint,
  formatEndpoint,
  hostPrefix,
  type IpAddress,
  type Prefix,
  parseEndpoint,
  parseIpAddress,
  prefixContains,
} from './address.ts'
import { MalformedError } from './errors.ts'
import { PROBE_CHARACTERS } from './limits.ts'

export type RouteProbe =
  /** An echo (RFC 792, RFC 4443). */
  | { readonly kind: 'icmp'; readonly address: IpAddress }
  /** A connection that is accepted. */
  | { readonly kind: 'tcp'; readonly endpoint: Endpoint }
  /** A GET without redirects that is answered by a status below 500. */
  | { readonly kind: 'http'; readonly endpoint: Endpoint; readonly path: string }

/** `icmp:10.0.0.1`, `tcp:10.0.0.1:443` or `http://10.0.0.1[:80]/path`; the host is an address. Throws MalformedError. */
export function parseRouteProbe(text: string): RouteProbe {
  if (text.length > PROBE_CHARACTERS) {
    throw new MalformedError(
      `probe has ${text.length} characters, want at most ${PROBE_CHARACTERS}`,
    )
  }
  const [, kind, rest = ''] = /^(icmp:|tcp:|http:\/\/)(.+)$/.exec(text) ?? []
  switch (kind) {
    case 'icmp:':
      return { kind: 'icmp', address: parseIpAddress(rest.replace(/^\[(.*)\]$/, '$1')) }
    case 'tcp:':
      return { kind: 'tcp', endpoint: parseEndpoint(rest) }
    case 'http://':
      return httpProbe(text, rest)
    default:
      throw new MalformedError(
        `probe "${text}", want icmp:address, tcp:address:port or http://address[:port]/path`,
      )
  }
}

function httpProbe(text: string, rest: string): RouteProbe {
  const [, authority = '', path = '/'] = /^([^/]+)(\/[!-~]*)?$/.exec(rest) ?? []
  if (authority === '') throw new MalformedError(`probe "${text}", want http://address[:port]/path`)
  const hasPort = /^(\[[^\]]*\]|[^:]*):\d+$/.test(authority)
  return { kind: 'http', endpoint: parseEndpoint(hasPort ? authority : `${authority}:80`), path }
}

export function formatRouteProbe(probe: RouteProbe): string {
  switch (probe.kind) {
    case 'icmp':
      return `icmp:${probe.address}`
    case 'tcp':
      return `tcp:${formatEndpoint(probe.endpoint)}`
    case 'http':
      return `http://${formatEndpoint(probe.endpoint)}${probe.path}`
  }
}

/** Of a claim on `prefix`. Throws MalformedError where the target lies outside of it. */
export function parseProbeOf(prefix: Prefix, text: string): RouteProbe {
  const probe = parseRouteProbe(text)
  const target = probe.kind === 'icmp' ? probe.address : probe.endpoint.address
  if (prefixContains(prefix, hostPrefix(target))) return probe
  throw new MalformedError(`probe "${text}": ${target} is not in ${prefix}`)
}
