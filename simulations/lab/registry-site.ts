/** Where the laboratory's registry is reached: at its public IPv4 address alone, or from every kind of site,
 *  the IPv6-only ones and those that let nothing out but TCP 443. */
import type { Host } from './ground.ts'
import { featuresOf, type SiteKind } from './nat.ts'

/** The port that a firewall lets pass. */
const PASSING_PORT = 443

export interface RegistrySite {
  /** For the registry's command line. */
  readonly args: readonly string[]
  /** Its URL, as a host of that kind of site reaches it. */
  urlFor(kind: SiteKind): string
  /** Makes the host ready, before the registry starts. */
  prepare(): Promise<void>
}

/** @param reachable only what needs no more than IPv4, or everybody
 *  @param webPort of the web pages and the API */
export function registrySite(
  host: Host,
  reachable: 'ipv4' | 'everybody',
  webPort: number,
): RegistrySite {
  const url = `http://${host.address}:${webPort}`
  if (reachable === 'ipv4') {
    return {
      args: ['--listen', `${host.address}:${webPort}`, '--public-url', url, '--insecure-http'],
      urlFor: () => url,
      prepare: async () => undefined,
    }
  }
  const ipv6 = `2001:db8:${host.site}::2`
  // One port passes and two services want it: the web has a second address.
  const second = `198.18.${host.site}.4`
  return {
    args: [
      ...['--listen', `[::]:${webPort}`, '--public-url', url, '--insecure-http'],
      '--rendezvous-listen',
      [host.address, ipv6].map((each) => multiaddr(each, PASSING_PORT)).join(','),
      ...['--stun-listen', '0.0.0.0:3478'],
      ...['--stun-announce', `${host.address}:3478,[${ipv6}]:3478`],
    ],
    urlFor: (kind) => {
      const { base, hasIpv4 } = featuresOf(kind)
      if (!hasIpv4) return `http://[${ipv6}]:${webPort}`
      return base === 'udpblock' ? `http://${second}:${PASSING_PORT}` : url
    },
    prepare: async () => {
      await host.namespace.batch('ip', [`addr replace ${second}/32 dev wan`])
      await host.namespace.batch('nft', [
        'table ip web {',
        `chain pre { type nat hook prerouting priority dstnat; ip daddr ${second} tcp dport ${PASSING_PORT} redirect to :${webPort}; }`,
        '}',
      ])
    },
  }
}

function multiaddr(address: string, port: number): string {
  return `/ip${address.includes(':') ? 6 : 4}/${address}/tcp/${port}`
}
