/** The ground of a laboratory: makes namespaces, cables, NAT boxes and hosts of one site after another. */
import { type Namespace, run } from './namespace.ts'
import { type Features, FIREWALL, featuresOf, natRules, type SiteKind } from './nat.ts'
import { type MappingDaemon, type MappingOptions, startMappingDaemon } from './port-mapping.ts'

export interface SiteOptions {
  readonly kind: SiteKind
  /** 1 unless given, 8 at most; a public or firewalled site is one host. */
  readonly hosts?: number
  /** One way, on the access link, milliseconds; 0 unless given. */
  readonly delayMs?: number
  /** Percent, on the access link, each way. */
  readonly lossPercent?: number
  /** The router maps ports on request; it has no such service unless given. Of the kinds with a router. */
  readonly portMapping?: MappingOptions
}

export interface Host {
  readonly namespace: Namespace
  /** Its address at its own site: the IPv4 one where it has any. */
  readonly address: string
  readonly site: number
  readonly kind: SiteKind
  /** The other end of its cable: a device of the site's router, or of the core. */
  readonly port: string
}

export interface Site {
  /** Whose `wan` carries the site's public address. */
  readonly edge: Namespace
  /** The site's own NAT box; none where the host itself is the edge. */
  readonly router: Namespace | undefined
  readonly hosts: readonly Host[]
  readonly hasIpv6: boolean
  readonly mappingDaemon?: MappingDaemon
}

/** The first half of the sites' public addresses: for tests (RFC 2544), except where the router is to map
 *  ports: miniupnpd does so for an address of the internet alone. */
const NETWORKS = { test: '198.18', internet: '198.20' } as const

/** Name the hosts of a LAN. */
const LETTERS = 'abcdefgh'

/** What the core needs to reach a site over IPv6: its own address, and the route to the LAN. */
export function coreIpv6(n: number, hasLan: boolean): readonly string[] {
  return [
    `addr replace 2001:db8:${n}::1/64 dev s${n}`,
    ...(hasLan ? [`route replace 2001:db8:${n}:1::/64 via 2001:db8:${n}::2`] : []),
  ]
}

export class Ground {
  readonly #core: Namespace
  readonly #declare: (name: string) => Namespace
  readonly #overlap: boolean
  readonly #folder: string

  /** @param declare gives a namespace its name
   *  @param overlap every LAN is 192.168.1.0/24
   *  @param folder for logs and settings */
  constructor(
    core: Namespace,
    declare: (name: string) => Namespace,
    overlap: boolean,
    folder: string,
  ) {
    this.#core = core
    this.#declare = declare
    this.#overlap = overlap
    this.#folder = folder
  }

  async make(namespace: Namespace, forwards: boolean): Promise<void> {
    await run('ip', ['netns', 'add', namespace.name])
    const flag = forwards ? '1' : '0'
    await namespace.exec(
      'sysctl',
      '-qw',
      `net.ipv4.ip_forward=${flag}`,
      `net.ipv6.conf.all.forwarding=${flag}`,
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv6.conf.all.accept_dad=0',
      'net.ipv6.conf.default.accept_dad=0',
    )
    // Else bridged frames would meet the NAT rules a second time.
    await namespace.attempt(
      'sysctl',
      '-qw',
      'net.bridge.bridge-nf-call-iptables=0',
      'net.bridge.bridge-nf-call-ip6tables=0',
    )
    await namespace.exec('ip', 'link', 'set', 'lo', 'up')
  }

  async #cable(a: Namespace, aName: string, b: Namespace, bName: string): Promise<void> {
    await run('ip', [
      'link',
      'add',
      aName,
      'netns',
      a.name,
      'type',
      'veth',
      'peer',
      'name',
      bName,
      'netns',
      b.name,
    ])
    await a.exec('ip', 'link', 'set', aName, 'up')
    await b.exec('ip', 'link', 'set', bName, 'up')
  }

  async site(number: number, options: SiteOptions): Promise<Site> {
    const { kind, hosts = 1, portMapping } = options
    const features = featuresOf(kind)
    if (features.base === 'public' || features.base === 'fw') {
      const host = this.#declare(`h${number}a`)
      await this.make(host, false)
      await this.#uplink(host, number, features)
      if (features.base === 'fw') await host.batch('nft', FIREWALL)
      const address = `198.18.${number}.2`
      const made = { namespace: host, address, site: number, kind, port: `s${number}` }
      return { edge: host, router: undefined, hosts: [made], hasIpv6: true }
    }
    const router = this.#declare(`r${number}`)
    await this.make(router, true)
    let edge = router
    if (features.base === 'cgnat' || features.base === 'cgsymm') {
      edge = await this.#carrier(number, router, features)
      await router.batch('nft', natRules({ base: 'port', keepsPorts: true }))
    } else {
      const network = NETWORKS[portMapping === undefined ? 'test' : 'internet']
      await this.#uplink(router, number, features, network)
      const addresses = [`${network}.${number}.2`, `${network}.${number}.3`]
      await router.batch(
        'nft',
        natRules(features, { addresses, mapsPorts: portMapping !== undefined }),
      )
    }
    const { hasIpv6 } = features
    const made = { edge, router, hosts: await this.#lan(number, router, hosts, kind), hasIpv6 }
    if (portMapping === undefined) return made
    const mappingDaemon = await startMappingDaemon(router, this.#folder, portMapping)
    return { ...made, mappingDaemon }
  }

  /** Attaches a namespace to the core as the site's edge. */
  async #uplink(
    edge: Namespace,
    n: number,
    { hasIpv4, hasIpv6 }: Pick<Features, 'hasIpv4' | 'hasIpv6'>,
    network: string = NETWORKS.test,
  ): Promise<void> {
    await this.#cable(this.#core, `s${n}`, edge, 'wan')
    await this.#core.batch('ip', [
      `addr add ${network}.${n}.1/24 dev s${n}`,
      ...coreIpv6(n, hasIpv6),
    ])
    await edge.batch('ip', [
      ...(hasIpv4
        ? [`addr add ${network}.${n}.2/24 dev wan`, `route add default via ${network}.${n}.1`]
        : []),
      ...(hasIpv6
        ? [`addr add 2001:db8:${n}::2/64 dev wan`, `route add default via 2001:db8:${n}::1`]
        : []),
    ])
  }

  /** A carrier's NAT in front of the site's own. Only it changes ports, where any does: twice would be none. */
  async #carrier(n: number, router: Namespace, features: Features): Promise<Namespace> {
    const carrier = this.#declare(`c${n}`)
    await this.make(carrier, true)
    await this.#uplink(carrier, n, features)
    await this.#cable(carrier, 'lan', router, 'wan')
    await carrier.batch('ip', [`addr add 100.127.${n}.1/24 dev lan`])
    await router.batch('ip', [
      `addr add 100.127.${n}.2/24 dev wan`,
      `route add default via 100.127.${n}.1`,
    ])
    await carrier.batch('nft', natRules(features))
    return carrier
  }

  async #lan(
    n: number,
    router: Namespace,
    hosts: number,
    kind: SiteKind,
  ): Promise<readonly Host[]> {
    const { hasIpv4, hasIpv6, isIsolated } = featuresOf(kind)
    const made: Host[] = []
    const ipv4 = `192.168.${this.#overlap ? 1 : n}`
    const ipv6 = `2001:db8:${n}:1:`
    await router.batch('ip', [
      'link add lan type bridge',
      'link set lan up',
      ...(hasIpv4 ? [`addr add ${ipv4}.1/24 dev lan`] : []),
      ...(hasIpv6 ? [`addr add ${ipv6}:1/64 dev lan`] : []),
    ])
    for (let index = 0; index < hosts; index += 1) {
      const letter = LETTERS[index]
      if (letter === undefined)
        throw new Error(`site ${n}: ${hosts} hosts, ${LETTERS.length} at most`)
      const host = this.#declare(`h${n}${letter}`)
      await this.make(host, false)
      await this.#cable(router, `l${letter}`, host, 'eth0')
      await router.exec('ip', 'link', 'set', `l${letter}`, 'master', 'lan')
      if (isIsolated)
        await router.exec('bridge', 'link', 'set', 'dev', `l${letter}`, 'isolated', 'on')
      const addresses = [
        ...(hasIpv4 ? [`${ipv4}.${10 + index}`] : []),
        ...(hasIpv6 ? [`${ipv6}:${10 + index}`] : []),
      ]
      await host.batch('ip', [
        ...addresses.map((each) => `addr add ${each}/${each.includes(':') ? 64 : 24} dev eth0`),
        ...(hasIpv4 ? [`route add default via ${ipv4}.1`] : []),
        ...(hasIpv6 ? [`route add default via ${ipv6}:1`] : []),
      ])
      const [address = ''] = addresses
      made.push({ namespace: host, address, site: n, kind, port: `l${letter}` })
    }
    return made
  }
}
