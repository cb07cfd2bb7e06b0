/** The NAT laboratory: sites behind NAT boxes of several kinds, joined by a core, all of it network
 *  namespaces of this machine. Needs root, iproute2 and nftables; delay and loss also python3 and iptables.
 *
 *    core ── wan of each site: 198.18.N.1 ── 198.18.N.2 (router, or public host), 2001:db8:N::/48
 *    LAN of site N: 192.168.N.0/24, router .1, hosts .10 and up */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDelay } from './delay.ts'
import { Ground, type Host, type SiteOptions } from './ground.ts'
import { Namespace, type Running } from './namespace.ts'

export interface LabOptions {
  readonly sites: readonly SiteOptions[]
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

/** Owner of a laboratory: the process id is in its folder, so that leftovers of a killed one are known. */
const OWNER = 'owner.pid'

/** Removes laboratories whose process is gone (it was killed and could not). The namespaces removed. */
export function removeStale(): readonly string[] {
  const removed: string[] = []
  for (const folder of readdirSync(tmpdir()).filter((name) => /^nx[0-9a-f]{4}-/.test(name))) {
    const owner = join(tmpdir(), folder, OWNER)
    if (!existsSync(owner) || existsSync(`/proc/${readFileSync(owner, 'utf8').trim()}`)) continue
    const prefix = `${folder.slice(0, 6)}-`
    for (const name of readdirSync('/run/netns').filter((each) => each.startsWith(prefix))) {
      new Namespace(name).remove()
      removed.push(name)
    }
    rmSync(join(tmpdir(), folder), { recursive: true, force: true })
  }
  return removed
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
  removeStale()
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
    writeFileSync(join(this.folder, OWNER), String(process.pid))
    this.core = this.#declare('core')
  }

  async build(sites: readonly SiteOptions[]): Promise<void> {
    const ground = new Ground(this.core, (name) => this.#declare(name))
    await ground.make(this.core, true)
    for (const [index, site] of sites.entries()) {
      const made = await ground.site(index + 1, site)
      this.#edges.set(index + 1, made.edge)
      if (made.router !== undefined) this.#routers.set(index + 1, made.router)
      for (const [place, host] of made.hosts.entries())
        this.#hosts.set(`${index + 1} ${place}`, host)
    }
    this.#delay = await startDelay(this.core, sites, this.folder)
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

  #edge(site: number): Namespace {
    const edge = this.#edges.get(site)
    if (edge === undefined) throw new Error(`no site ${site}`)
    return edge
  }
}
