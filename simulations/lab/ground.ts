/** The ground of a laboratory: makes namespaces, cables, NAT boxes and hosts of one site after another. */
import { type Namespace, run } from './namespace.ts'
import { type Features, FIREWALL, featuresOf, natRules, type SiteKind } from './nat.ts'

export interface SiteOptions {
  readonly kind: SiteKind
  /** 1 unless given, 8 at most; a public or firewalled site is one host. */
  readonly hosts?: number
  /** One way, on the access link, milliseconds; 0 unless given. */
  readonly delayMs?: number
  /** Percent, on the access link, each way. */
  readonly lossPercent?: number
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
}

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

  /** @param declare gives a namespace its name
   *  @param overlap every LAN is 192.168.1.0/24 */
  constructor(core: Namespace, declare: (name: string) => Namespace, overlap: boolean) {
    this.#core = core
    this.#declare = declare
    this.#overlap = overlap
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

  async site(number: number, { kind, hosts = 1 }: SiteOptions): Promise<Site> {
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
      await this.#uplink(router, number, features)
      const addresses = [`198.18.${number}.2`, `198.18.${number}.3`]
      await router.batch('nft', natRules(features, addresses))
    }
    const made = await this.#lan(number, router, hosts, kind)
    return { edge, router, hosts: made, hasIpv6: features.hasIpv6 }
  }

  /** Attaches a namespace to the core as the site's edge. */
  async #uplink(
    edge: Namespace,
    n: number,
    { hasIpv4, hasIpv6 }: Pick<Features, 'hasIpv4' | 'hasIpv6'>,
  ): Promise<void> {
    await this.#cable(this.#core, `s${n}`, edge, 'wan')
    await this.#core.batch('ip', [`addr add 198.18.${n}.1/24 dev s${n}`, ...coreIpv6(n, hasIpv6)])
    await edge.batch('ip', [
      ...(hasIpv4
        ? [`addr add 198.18.${n}.2/24 dev wan`, `route add default via 198.18.${n}.1`]
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
