/** The NAT laboratory: sites behind NAT boxes of several kinds, joined by a core, all of it network
 *  namespaces of this machine. Needs root, iproute2 and nftables; delay and loss also python3 and iptables.
 *
 *    core ── wan of each site: 198.18.N.1 ── 198.18.N.2 (router, or public host), 2001:db8:N::/48
 *    (198.20.N where the router maps ports)
 *    LAN of site N: 192.168.N.0/24, router .1, hosts .10 and up; 2001:db8:N:1::/64 */
import { changeDelay, type Delay, startDelay } from './delay.ts'
import { coreIpv6, Ground, type Host, type Site, type SiteOptions } from './ground.ts'
import { Namespace } from './namespace.ts'
import { claim, type Ownership, remove, removeStale } from './ownership.ts'
import type { MappingDaemon } from './port-mapping.ts'

export interface LabOptions {
  readonly sites: readonly SiteOptions[]
  /** Every LAN is 192.168.1.0/24, as at home. */
  readonly overlap?: boolean
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
  /** What maps ports at the site's NAT box. */
  mappingDaemon(site: number): MappingDaemon
  /** The site's public address becomes .3 (or .2 again) and all mappings are lost, as after a reconnect. */
  renumber(site: number): Promise<void>
  /** The NAT box forgets all mappings. */
  flush(site: number): Promise<void>
  /** The host gets another private address (.10 becomes .110 and back), as after a change of Wi-Fi. */
  moveHost(host: Host): Promise<void>
  /** Cuts a site's access link, or mends it. */
  link(up: boolean, site: number): Promise<void>
  /** One way, on the site's access link, from now on; only where the lab began with delays. */
  delay(site: number, ms: number): Promise<void>
  /** Pulls the cable of a host, which sees its carrier go, or plugs it in again. */
  cable(up: boolean, host: Host): Promise<void>
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

/** Throws where this process may not make namespaces, or a command of it fails; nothing is left then. */
export async function createLab(options: LabOptions): Promise<Lab> {
  watchExit()
  const builder = new Builder(claim())
  alive.add(builder)
  try {
    removeStale()
    await builder.build(options)
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
  readonly #hosts = new Map<string, Host>()
  readonly #sites = new Map<number, Site>()
  readonly #owned: Ownership
  #delay: Delay | undefined

  constructor(owned: Ownership) {
    this.#owned = owned
    this.prefix = owned.prefix
    this.folder = owned.folder
    this.core = this.#declare('core')
  }

  async build({ sites, overlap = false }: LabOptions): Promise<void> {
    const ground = new Ground(this.core, (name) => this.#declare(name), overlap, this.folder)
    await ground.make(this.core, true)
    const delay = startDelay(this.core, sites, this.folder)
    // All at once: the time goes into some dozens of short commands.
    const making = sites.map((site, index) => ground.site(index + 1, site))
    // Nothing may still be at work when a failure is reported.
    await Promise.allSettled([delay, ...making])
    for (const [index, site] of (await Promise.all(making)).entries()) {
      this.#sites.set(index + 1, site)
      for (const [place, host] of site.hosts.entries())
        this.#hosts.set(`${index + 1} ${place}`, host)
    }
    this.#delay = await delay
  }

  host(site: number, index = 0): Host {
    const host = this.#hosts.get(`${site} ${index}`)
    if (host === undefined) throw new Error(`no host ${index} at site ${site}`)
    return host
  }

  router(site: number): Namespace {
    const { router } = this.#site(site)
    if (router === undefined) throw new Error(`site ${site} has no router`)
    return router
  }

  mappingDaemon(site: number): MappingDaemon {
    const { mappingDaemon } = this.#site(site)
    if (mappingDaemon === undefined) throw new Error(`site ${site} maps no ports`)
    return mappingDaemon
  }

  async renumber(site: number): Promise<void> {
    const { edge } = this.#site(site)
    const shown = await edge.exec('ip', '-4', '-o', 'addr', 'show', 'wan')
    const [, network, last] = /(198\.\d+)\.\d+\.(\d)/.exec(shown) ?? []
    if (network === undefined) throw new Error(`site ${site} has no public IPv4 address to change`)
    const old = Number(last)
    // Deleting a primary address deletes its secondaries: delete first, then add.
    await edge.batch('ip', [
      `addr del ${network}.${site}.${old}/24 dev wan`,
      `addr add ${network}.${site}.${5 - old}/24 dev wan`,
      `route replace default via ${network}.${site}.1`,
    ])
    await this.flush(site)
  }

  async flush(site: number): Promise<void> {
    const { edge, router } = this.#site(site)
    await edge.attempt('conntrack', '-F')
    await edge.attempt('nft', 'flush', 'map', 'ip', 'nat', 'm')
    if (router !== edge) await router?.attempt('conntrack', '-F')
  }

  async moveHost({ namespace }: Host): Promise<void> {
    const shown = await namespace.exec('ip', '-4', '-o', 'addr', 'show', 'eth0')
    const [, lan, last] = /(192\.168\.\d+)\.(\d+)/.exec(shown) ?? []
    if (lan === undefined)
      throw new Error(`${namespace.name} has no private IPv4 address to change`)
    const next = Number(last) > 100 ? Number(last) - 100 : Number(last) + 100
    await namespace.batch('ip', [
      `addr del ${lan}.${last}/24 dev eth0`,
      `addr add ${lan}.${next}/24 dev eth0`,
      `route replace default via ${lan}.1`,
    ])
  }

  async link(up: boolean, site: number): Promise<void> {
    const { hasIpv6 } = this.#site(site)
    await this.core.exec('ip', 'link', 'set', `s${site}`, up ? 'up' : 'down')
    // A device that goes down loses its IPv6 addresses, and the routes through it.
    if (up) await this.core.batch('ip', coreIpv6(site, hasIpv6))
  }

  async delay(site: number, ms: number): Promise<void> {
    if (this.#delay === undefined) throw new Error('the laboratory began without delays')
    await changeDelay(this.#delay, site, ms)
  }

  async cable(up: boolean, { site, port }: Host): Promise<void> {
    const { router } = this.#site(site)
    if (router === undefined) await this.link(up, site)
    else await router.exec('ip', 'link', 'set', port, up ? 'up' : 'down')
  }

  [Symbol.dispose](): void {
    if (!alive.delete(this)) return
    this.#delay?.running.child.kill('SIGKILL')
    remove(this.#owned)
  }

  #declare(name: string): Namespace {
    return new Namespace(`${this.prefix}-${name}`)
  }

  #site(site: number): Site {
    const made = this.#sites.get(site)
    if (made === undefined) throw new Error(`no site ${site}`)
    return made
  }
}
