/** The NAT laboratory: sites behind NAT boxes of several kinds, joined by a core, all of it network
 *  namespaces of this machine. Needs root, iproute2 and nftables; delay and loss also python3 and iptables.
 *
 *    core ── wan of each site: 198.18.N.1 ── 198.18.N.2 (router, or public host), 2001:db8:N::/48
 *    LAN of site N: 192.168.N.0/24, router .1, hosts .10 and up */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Namespace, type Running, run } from './namespace.ts'
import { FIREWALL, natRules, type SiteKind } from './nat.ts'

export interface SiteOptions {
  readonly kind: SiteKind
  /** 1 unless given. */
  readonly hosts?: number
  /** One way, on the access link, milliseconds; 0 unless given. */
  readonly delayMs?: number
  /** Percent, on the access link, each way. */
  readonly lossPercent?: number
}

export interface LabOptions {
  readonly sites: readonly SiteOptions[]
}

export interface Host {
  readonly namespace: Namespace
  /** Its address at its own site. */
  readonly address: string
  readonly site: number
}

export interface Lab extends Disposable {
  /** Starts every name of the lab, six characters. */
  readonly prefix: string
  /** For logs and state; removed with the lab. */
  readonly folder: string
  readonly core: Namespace
  /** `site` counts from 1, `index` from 0. */
  host(site: number, index?: number): Host
  /** The site's NAT box. */
  router(site: number): Namespace
  /** The site's public address becomes .3 (or .2 again) and all mappings are lost, as after a reconnect. */
  renumber(site: number): Promise<void>
  /** The NAT box forgets all mappings. */
  flush(site: number): Promise<void>
  /** The host gets another private address (.10 becomes .110 and back), as after a change of Wi-Fi. */
  moveHost(host: Host): Promise<void>
  /** Sets delay and loss of a site's access link; 0 and 0 take the daemon out of the way. */
  link(up: boolean, site: number): Promise<void>
}

const alive = new Set<Disposable>()
let isWatching = false

/** Labs end with the process, however it ends. */
function watchExit(): void {
  if (isWatching) return
  isWatching = true
  const endAll = (): void => {
    for (const lab of [...alive]) lab[Symbol.dispose]()
  }
  process.once('exit', endAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      endAll()
      process.exit(130)
    })
  }
}

export async function createLab({ sites }: LabOptions): Promise<Lab> {
  watchExit()
  const builder = new Builder(`nx${randomBytes(2).toString('hex')}`)
  alive.add(builder)
  try {
    await builder.build(sites)
    return builder
  } catch (error) {
    builder[Symbol.dispose]()
    throw error
  }
}

class Builder implements Lab {
  readonly prefix: string
  readonly folder: string
  readonly core: Namespace
  readonly #namespaces: Namespace[] = []
  readonly #hosts = new Map<string, Host>()
  readonly #routers = new Map<number, Namespace>()
  readonly #edges = new Map<number, Namespace>()
  #delay: Running | undefined

  constructor(prefix: string) {
    this.prefix = prefix
    this.folder = mkdtempSync(join(tmpdir(), `${prefix}-`))
    this.core = this.#declare('core')
  }

  async build(sites: readonly SiteOptions[]): Promise<void> {
    await this.#make(this.core, true)
    for (const [index, site] of sites.entries()) await this.#site(index + 1, site)
    await this.#shape(sites)
  }

  host(site: number, index = 0): Host {
    const host = this.#hosts.get(`${site} ${index}`)
    if (host === undefined) throw new Error(`no host ${index} at site ${site}`)
    return host
  }

  router(site: number): Namespace {
    const router = this.#routers.get(site)
    if (router === undefined) throw new Error(`site ${site} has no router`)
    return router
  }

  async renumber(site: number): Promise<void> {
    const edge = this.#edge(site)
    const shown = await edge.exec('ip', '-4', '-o', 'addr', 'show', 'wan')
    const old = /198\.18\.\d+\.(\d)/.exec(shown)?.[1] === '2' ? 2 : 3
    // Deleting a primary address deletes its secondaries: delete first, then add.
    await edge.batch('ip', [
      `addr del 198.18.${site}.${old}/24 dev wan`,
      `addr add 198.18.${site}.${5 - old}/24 dev wan`,
      `route replace default via 198.18.${site}.1`,
    ])
    await this.flush(site)
  }

  async flush(site: number): Promise<void> {
    await this.#edge(site).attempt('conntrack', '-F')
    await this.#edge(site).attempt('nft', 'flush', 'map', 'ip', 'nat', 'm')
    await this.#routers.get(site)?.attempt('conntrack', '-F')
  }

  async moveHost({ namespace, site }: Host): Promise<void> {
    const shown = await namespace.exec('ip', '-4', '-o', 'addr', 'show', 'eth0')
    const last = Number(/192\.168\.\d+\.(\d+)/.exec(shown)?.[1])
    const next = last > 100 ? last - 100 : last + 100
    await namespace.batch('ip', [
      `addr del 192.168.${site}.${last}/24 dev eth0`,
      `addr add 192.168.${site}.${next}/24 dev eth0`,
      `route replace default via 192.168.${site}.1`,
    ])
  }

  async link(up: boolean, site: number): Promise<void> {
    await this.core.exec('ip', 'link', 'set', `s${site}`, up ? 'up' : 'down')
    if (up)
      await this.core.attempt(
        'ip',
        '-6',
        'addr',
        'add',
        `2001:db8:${site}::1/64`,
        'dev',
        `s${site}`,
      )
  }

  [Symbol.dispose](): void {
    if (!alive.delete(this)) return
    this.#delay?.child.kill('SIGKILL')
    for (const namespace of this.#namespaces) namespace.remove()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #declare(name: string): Namespace {
    const namespace = new Namespace(`${this.prefix}-${name}`)
    this.#namespaces.push(namespace)
    return namespace
  }

  async #make(namespace: Namespace, forwards: boolean): Promise<void> {
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

  async #site(number: number, { kind, hosts = 1 }: SiteOptions): Promise<void> {
    if (kind === 'public' || kind === 'fw') {
      const host = this.#declare(`h${number}a`)
      await this.#make(host, false)
      await this.#uplink(host, number, true)
      if (kind === 'fw') await host.batch('nft', FIREWALL)
      this.#hosts.set(`${number} 0`, {
        namespace: host,
        address: `198.18.${number}.2`,
        site: number,
      })
      return
    }
    const router = this.#declare(`r${number}`)
    await this.#make(router, true)
    this.#routers.set(number, router)
    if (kind === 'cgnat') await this.#carrier(number, router)
    else await this.#uplink(router, number, kind === 'v6dual')
    await router.batch('nft', natRules(kind))
    await this.#lan(number, router, hosts, kind === 'v6dual')
  }

  /** Attaches a namespace to the core as the site's edge. */
  async #uplink(edge: Namespace, n: number, hasIpv6: boolean): Promise<void> {
    await this.#cable(this.core, `s${n}`, edge, 'wan')
    await this.core.batch('ip', [
      `addr add 198.18.${n}.1/24 dev s${n}`,
      `addr add 2001:db8:${n}::1/64 dev s${n}`,
    ])
    await edge.batch('ip', [
      `addr add 198.18.${n}.2/24 dev wan`,
      `route add default via 198.18.${n}.1`,
      ...(hasIpv6
        ? [`addr add 2001:db8:${n}::2/64 dev wan`, `route add default via 2001:db8:${n}::1`]
        : []),
    ])
    if (hasIpv6)
      await this.core.exec(
        'ip',
        '-6',
        'route',
        'add',
        `2001:db8:${n}:1::/64`,
        'via',
        `2001:db8:${n}::2`,
      )
    this.#edges.set(n, edge)
  }

  /** A carrier's NAT in front of the site's own. */
  async #carrier(n: number, router: Namespace): Promise<void> {
    const carrier = this.#declare(`c${n}`)
    await this.#make(carrier, true)
    await this.#uplink(carrier, n, false)
    await this.#cable(carrier, 'lan', router, 'wan')
    await carrier.batch('ip', [`addr add 100.127.${n}.1/24 dev lan`])
    await router.batch('ip', [
      `addr add 100.127.${n}.2/24 dev wan`,
      `route add default via 100.127.${n}.1`,
    ])
    await carrier.batch('nft', natRules('port'))
  }

  async #lan(n: number, router: Namespace, hosts: number, hasIpv6: boolean): Promise<void> {
    const ipv6 = `2001:db8:${n}:1:`
    await router.batch('ip', [
      'link add lan type bridge',
      'link set lan up',
      `addr add 192.168.${n}.1/24 dev lan`,
      ...(hasIpv6 ? [`addr add ${ipv6}:1/64 dev lan`] : []),
    ])
    for (let index = 0; index < hosts; index += 1) {
      const letter = 'abcdefgh'[index] ?? 'x'
      const host = this.#declare(`h${n}${letter}`)
      await this.#make(host, false)
      await this.#cable(router, `l${letter}`, host, 'eth0')
      await router.exec('ip', 'link', 'set', `l${letter}`, 'master', 'lan')
      const address = `192.168.${n}.${10 + index}`
      await host.batch('ip', [
        `addr add ${address}/24 dev eth0`,
        `route add default via 192.168.${n}.1`,
        ...(hasIpv6
          ? [`addr add ${ipv6}:${10 + index}/64 dev eth0`, `route add default via ${ipv6}:1`]
          : []),
      ])
      this.#hosts.set(`${n} ${index}`, { namespace: host, address, site: n })
    }
  }

  /** Delay and loss without netem: packets wait in netfilter queues for a verdict (see delay.py). */
  async #shape(sites: readonly SiteOptions[]): Promise<void> {
    const shaped = sites
      .map((site, index) => ({ n: index + 1, ms: site.delayMs ?? 0, loss: site.lossPercent ?? 0 }))
      .filter(({ ms, loss }) => ms > 0 || loss > 0)
    if (shaped.length === 0) return
    for (const tables of ['iptables', 'ip6tables']) {
      for (const { n } of shaped) {
        const queue = (number: number): readonly string[] => [
          '-j',
          'NFQUEUE',
          '--queue-num',
          String(number),
          '--queue-bypass',
        ]
        await this.core.exec(tables, '-t', 'mangle', '-A', 'PREROUTING', '-i', `s${n}`, ...queue(n))
        await this.core.exec(
          tables,
          '-t',
          'mangle',
          '-A',
          'POSTROUTING',
          '-o',
          `s${n}`,
          ...queue(100 + n),
        )
      }
    }
    const script = new URL('delay.py', import.meta.url).pathname
    this.#delay = this.core.spawn(join(this.folder, 'delay.log'), 'python3', [
      '-u',
      script,
      ...shaped.map(({ n, ms, loss }) => `${n}:${ms}:${loss}`),
    ])
    await this.#delay.waitFor(/ready/)
  }

  #edge(site: number): Namespace {
    const edge = this.#edges.get(site)
    if (edge === undefined) throw new Error(`no site ${site}`)
    return edge
  }
}
