/** Carrier watch: drains the prefixes whose link has lost its carrier, so that another router takes over, and offers them
 *  again when it has stayed. What its operator drained stays drained. */
import type { Prefix } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { RouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { explain } from '../errors.ts'
import { isContainerInterface } from '../host/local-addresses.ts'
import { type Carrier, carrierAfter, carrierDueMs, type Link } from './carrier.ts'
import type { RouteWish } from './next-claim.ts'
import type { Links } from './own-routes.ts'

export interface CarrierWatchOptions {
  /** What this device says of prefixes that it routes. */
  routes(): readonly RouteAdvertisement[]
  linksBehind(prefixes: readonly Prefix[]): Promise<ReadonlyMap<Prefix, Link>>
  link(name: string): Promise<Link>
  say(prefix: Prefix, wish: RouteWish): Promise<boolean>
  /** For a next start: what is drained until its carrier is back, and what each prefix was last seen behind. */
  keep(drained: readonly Prefix[], links: Links): Promise<void>
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>
  readonly log: Log
}

interface Wish {
  readonly prefix: Prefix
  readonly kind: 'drain' | 'advertise'
}

/** Milliseconds until the host is asked again that did not answer. */
const FAILED_MS = 5000
/** And between looks at a link of whose changes nobody may tell: a container bridge, or one that lies still. */
const UNTOLD_MS = 5000

export class CarrierWatch implements Disposable {
  readonly #options: CarrierWatchOptions
  readonly #carriers = new Map<Prefix, Carrier>()
  /** What was drained here, and nowhere else. */
  readonly #drained = new Set<Prefix>()
  /** Names of links that are known since an earlier start. */
  #links: Links = new Map()
  #looking = Promise.resolve()
  #isLookDue = false
  #timer: Cancellable | undefined
  #asked: ReadonlySet<Prefix> = new Set()
  #isEnded = false
  #hasLeft = false

  constructor(options: CarrierWatchOptions) {
    this.#options = options
  }

  /** Before any is offered. Resolves with those that lie behind a link without carrier: they are to be drained.
   *  @param links that they were last seen behind */
  async begin(prefixes: readonly Prefix[], links: Links): Promise<ReadonlySet<Prefix>> {
    this.#links = links
    try {
      for (const [prefix, link] of await this.#linksOf(prefixes)) {
        const carrier = carrierAfter(undefined, link, this.#options.clock.monotonicMs())
        if (carrier === undefined) continue
        this.#carriers.set(prefix, carrier)
        if (carrier.isOffered) continue
        this.#options.log('warn', 'route.carrier-lost', { prefix, interface: link.name })
        this.#drained.add(prefix)
      }
    } catch (error) {
      this.#options.log('warn', 'route.carrier-unknown', { reason: explain(error) })
    }
    return new Set(this.#drained)
  }

  /** The host's links or routes may have changed. */
  look(): void {
    if (this.#isLookDue || this.#isEnded) return
    this.#isLookDue = true
    this.#looking = this.#looking
      .then(() => this.#look())
      .catch((error: unknown) => {
        this.#options.log('warn', 'route.carrier-unknown', { reason: explain(error) })
        this.#lookIn(FAILED_MS)
      })
  }

  /** What this device offers may have changed. */
  update(): void {
    const routes = this.#options.routes()
    const isAmiss = routes.some(({ prefix, state }) => {
      const carrier = this.#carriers.get(prefix)
      return !this.#asked.has(prefix) || (carrier?.isOffered === false && state === 'active')
    })
    if (isAmiss || routes.length < this.#asked.size) this.look()
  }

  /** Its operator drains everything: nothing comes back by itself, also not after a crash. */
  async leave(): Promise<void> {
    this.#hasLeft = true
    this.#drained.clear()
    await this.#options.keep([], this.#named())
  }

  /** Its operator offers everything again. */
  resume(): void {
    this.#hasLeft = false
    this.look()
  }

  /** For people; undefined: nothing is wrong with it. */
  why(prefix: Prefix): string | undefined {
    const carrier = this.#carriers.get(prefix)
    if (carrier === undefined || carrier.isOffered) return undefined
    const { name, hasCarrier } = carrier.link
    if (!hasCarrier) return `${name} has no carrier`
    const leftMs = carrierDueMs(carrier) - this.#options.clock.monotonicMs()
    return `${name} has lost its carrier; offered again in ${Math.max(0, Math.ceil(leftMs / 1000))} s`
  }

  async #look(): Promise<void> {
    this.#isLookDue = false
    const { routes, say, keep, clock } = this.#options
    const known = this.#named()
    const prefixes = routes().map(({ prefix }) => prefix)
    this.#asked = new Set(prefixes)
    this.#links = new Map([...this.#links].filter(([prefix]) => this.#asked.has(prefix)))
    for (const prefix of this.#carriers.keys()) {
      if (this.#asked.has(prefix)) continue
      this.#carriers.delete(prefix)
      this.#drained.delete(prefix)
    }
    const links = await this.#linksOf(prefixes)
    if (this.#isEnded) return
    const wishes = prefixes.flatMap((prefix) => {
      const before = this.#carriers.get(prefix)
      const after = carrierAfter(before, links.get(prefix), clock.monotonicMs())
      if (after === undefined) return []
      this.#carriers.set(prefix, after)
      return this.#wishes(prefix, after, before)
    })
    // All at once: packets are lost meanwhile.
    const said = wishes.map(({ prefix, kind }) => say(prefix, { kind }))
    if (wishes.length > 0 || !isSame(known, this.#named()))
      await Promise.all([keep([...this.#drained], this.#named()), ...said])
    this.#schedule()
  }

  #named(): Links {
    return new Map([...this.#carriers].map(([prefix, { link }]) => [prefix, link.name]))
  }

  /** A route may go with its link: then the link is asked that was there. */
  async #linksOf(prefixes: readonly Prefix[]): Promise<ReadonlyMap<Prefix, Link>> {
    const { linksBehind, link } = this.#options
    const links = new Map(await linksBehind(prefixes))
    for (const prefix of prefixes) {
      const name = this.#carriers.get(prefix)?.link.name ?? this.#links.get(prefix)
      if (name !== undefined && !links.has(prefix)) links.set(prefix, await link(name))
    }
    return links
  }

  #wishes(prefix: Prefix, after: Carrier, before: Carrier | undefined): readonly Wish[] {
    const { routes, log } = this.#options
    const fields = { prefix, interface: after.link.name }
    const isActive = routes().some((said) => said.prefix === prefix && said.state === 'active')
    if (!after.isOffered && isActive) {
      log('warn', 'route.carrier-lost', fields)
      if (!this.#hasLeft) this.#drained.add(prefix)
      return [{ prefix, kind: 'drain' }]
    }
    const isBack = after.isOffered && before?.isOffered === false && this.#drained.delete(prefix)
    if (!isBack) return []
    log('info', 'route.carrier-back', fields)
    return [{ prefix, kind: 'advertise' }]
  }

  #schedule(): void {
    this.#timer?.cancel()
    const carriers = [...this.#carriers.values()]
    const untilDueMs = Math.min(...carriers.map(carrierDueMs)) - this.#options.clock.monotonicMs()
    const ms = carriers.some(isUntold) ? Math.min(untilDueMs, UNTOLD_MS) : untilDueMs
    if (ms !== Infinity) this.#lookIn(Math.max(1, ms))
  }

  #lookIn(ms: number): void {
    this.#timer?.cancel()
    if (!this.#isEnded) this.#timer = this.#options.clock.after(ms, () => this.look())
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    this.#timer?.cancel()
  }
}

function isUntold({ link }: Carrier): boolean {
  return !link.hasCarrier || isContainerInterface(link.name)
}

function isSame(one: Links, other: Links): boolean {
  return one.size === other.size && [...one].every(([prefix, name]) => other.get(prefix) === name)
}
