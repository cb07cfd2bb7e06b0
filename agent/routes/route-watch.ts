/** Route watch: what this device measures of those who carry its routes, and what it chooses by that: routers of shorter
 *  prefixes, holders of host prefixes, exits. The plan asks it; what it decides is in pure files beside it. */
import { isDefaultPrefix, isHostPrefix, type Prefix } from '../../protocol/address.ts'
import type { RouteClaim } from '../../protocol/belief.ts'
import type { Cancellable } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { formatRouteProbe } from '../../protocol/route-probe.ts'
import { Asker } from './asker.ts'
import {
  type Departures,
  departing,
  departureDueMs,
  departures,
  parting,
  usedUntilMs,
} from './departures.ts'
import { type ExitPreference, exitRouters } from './exit-choice.ts'
import { type Followed, follow, followDueMs, HAND_OVER_MS, servedOn } from './follow.ts'
import { type Handed, handed, handedDueMs, leftAt, NOTHING_HANDED } from './late.ts'
import { ReachWatch, type ReachWatchOptions } from './reach-watch.ts'
import { isOwnRoute, type RouteChoice } from './route-choice.ts'
import { chooseRouter, NO_CHOICE, type Router, type RouterChoice } from './router-choice.ts'
import { takesOver, watchedBy } from './standby.ts'

type Claims = ReadonlyMap<Prefix, readonly RouteClaim[]>

export interface RouteWatchOptions extends Omit<ReachWatchOptions, 'onChange'> {
  readonly device: DeviceId
  readonly log: Log
  nameOf(device: DeviceId): string
  /** Has this device a way to anybody? */
  reachesAnybody(): boolean
  exitPreference(): ExitPreference
  /** The choice may be another. */
  onChange(): void
}

/** What is believed of routes now. */
export interface RouteView {
  readonly claims: Claims
  readonly standbys: Claims
}

interface TargetProbe {
  readonly device: DeviceId
  readonly text: string
  readonly asker: Asker
}

const EXIT = 'exit'

export class RouteWatch implements RouteChoice, Disposable {
  readonly #options: RouteWatchOptions
  readonly #reach: ReachWatch
  readonly #choices = new Map<Prefix | typeof EXIT, RouterChoice>()
  readonly #followed = new Map<Prefix, Followed>()
  readonly #probes = new Map<Prefix, TargetProbe>()
  #view: RouteView = { claims: new Map(), standbys: new Map() }
  #handed: Handed = NOTHING_HANDED
  #departures: Departures = new Map()
  #timer: Cancellable | undefined

  constructor(options: RouteWatchOptions) {
    this.#options = options
    this.#reach = new ReachWatch({ ...options, onChange: () => options.onChange() })
  }

  /** Before each plan, and from time to time: waits end. */
  update(view: RouteView): void {
    this.#view = view
    const nowMs = this.#options.clock.monotonicMs()
    this.#departures = departures(this.#departures, view.claims, nowMs)
    this.#followAll(nowMs)
    for (const [prefix, claims] of this.#shorter()) this.#choose(prefix, this.#routers(claims))
    this.#choose(EXIT, exitRouters(this.#exits(), this.#options.exitPreference(), this.exit))
    this.#forget()
    this.#handed = handed(this.#handed, this.#holders(), nowMs)
    this.#watchAll()
    this.#schedule(nowMs)
  }

  holder(prefix: Prefix, claims: readonly RouteClaim[]): DeviceId | undefined {
    if (isHostPrefix(prefix)) return this.#followed.get(prefix)?.device ?? claims[0]?.device
    const { device } = this.#choices.get(isDefaultPrefix(prefix) ? EXIT : prefix) ?? NO_CHOICE
    if (isDefaultPrefix(prefix) || device !== undefined)
      return claims.some((claim) => claim.device === device) ? device : undefined
    return claims[0]?.device
  }

  get alsoServed(): ReadonlySet<Prefix> {
    const { device, clock } = this.#options
    return servedOn(this.#followed, device, clock.monotonicMs())
  }

  get left(): ReadonlyMap<Prefix, DeviceId> {
    return leftAt(this.#handed, this.#options.clock.monotonicMs())
  }

  get departing(): ReadonlyMap<Prefix, DeviceId> {
    return departing(this.#departures, this.#holders(), this.#options.clock.monotonicMs())
  }

  get parting(): ReadonlySet<Prefix> {
    const { device, clock } = this.#options
    return parting(this.#departures, device, this.alsoServed, clock.monotonicMs())
  }

  /** Host prefixes that this device, a standby, is to take over now. */
  takeovers(): readonly Prefix[] {
    const { device: self, reachesAnybody } = this.#options
    return [...this.#view.standbys].flatMap(([prefix, standbys]) => {
      const holder = this.#view.claims.get(prefix)?.[0]?.device
      const isUp = (device: DeviceId): boolean => this.#reach.reach(device).isUp
      const view = { self, holder, standbys, isUp, reachesAnybody: reachesAnybody() }
      return takesOver(view) ? [prefix] : []
    })
  }

  /** For people. */
  choice(prefix: Prefix): RouterChoice | undefined {
    return this.#choices.get(isDefaultPrefix(prefix) ? EXIT : prefix)
  }

  followed(prefix: Prefix): Followed | undefined {
    return this.#followed.get(prefix)
  }

  reach(device: DeviceId): ReturnType<ReachWatch['reach']> {
    return this.#reach.reach(device)
  }

  /** Of the target behind the router in use; undefined: none is asked. */
  targetIsUp(prefix: Prefix): boolean | undefined {
    return this.#probes.get(prefix)?.asker.health.isUp
  }

  get exit(): DeviceId | undefined {
    return this.#choices.get(EXIT)?.device
  }

  #holders(): ReadonlyMap<Prefix, DeviceId> {
    const { device: self } = this.#options
    return new Map(
      [...this.#view.claims].flatMap(([prefix, claims]) => {
        const holder = isOwnRoute(self, prefix, claims) ? self : this.holder(prefix, claims)
        return holder === undefined ? [] : [[prefix, holder]]
      }),
    )
  }

  #shorter(): [Prefix, readonly RouteClaim[]][] {
    return [...this.#view.claims].flatMap(([prefix, claims]) =>
      isHostPrefix(prefix) || isDefaultPrefix(prefix) ? [] : [[prefix, this.#others(claims)]],
    )
  }

  #others(claims: readonly RouteClaim[]): readonly RouteClaim[] {
    return claims.filter(({ device }) => device !== this.#options.device)
  }

  /** One of each exit, of whatever family. */
  #exits(): readonly Router[] {
    const claims = [...this.#view.claims].flatMap(([prefix, found]) =>
      isDefaultPrefix(prefix) ? this.#others(found) : [],
    )
    const first = new Map(claims.toReversed().map((claim) => [claim.device, claim]))
    return this.#routers([...first.values()].toReversed())
  }

  #routers(claims: readonly RouteClaim[]): readonly Router[] {
    return claims.map(({ device, prefix, envelope: { body } }): Router => {
      const { isUp, sinceMs, roundTripMs } = this.#reach.reach(device)
      const probe = this.#probes.get(prefix)
      const target = probe?.device === device ? probe.asker.health : undefined
      return {
        device,
        isDraining: body.state === 'draining',
        sequence: body.sequence,
        ...{ isUp, upSinceMs: sinceMs },
        hasFailedProbe: target?.isUp === false,
        provedMs: target?.provedMs ?? 0,
        usedUntilMs: usedUntilMs(this.#departures, prefix, device),
        ...(roundTripMs === undefined ? {} : { roundTripMs }),
      }
    })
  }

  #choose(key: Prefix | typeof EXIT, routers: readonly Router[]): void {
    const { clock, log, nameOf } = this.#options
    const before = this.#choices.get(key) ?? NO_CHOICE
    const after = chooseRouter(before, routers, clock.monotonicMs())
    this.#choices.set(key, after)
    if (after.device === before.device || before.device === undefined) return
    const name = (device: DeviceId | undefined): string =>
      device === undefined ? 'nobody' : nameOf(device)
    log('info', key === EXIT ? 'exit-node.changed' : 'route.router-changed', {
      ...(key === EXIT ? {} : { prefix: key }),
      ...{ from: name(before.device), to: name(after.device), reason: after.reason },
    })
  }

  #followAll(nowMs: number): void {
    for (const [prefix, claims] of this.#view.claims) {
      if (!isHostPrefix(prefix)) continue
      const before = this.#followed.get(prefix)
      const after = follow(before, claims, this.#options.device, nowMs)
      if (after === undefined) continue
      this.#followed.set(prefix, after)
      if (after.next !== undefined && before?.next?.device !== after.next.device)
        this.#wake(after.next.device)
      // Another may have taken it while this device was off, and be heard of before the first look.
      const { device: self } = this.#options
      const isClaimed = claims.some(({ device }) => device === self)
      const wasOwn = before?.device === self || (before === undefined && isClaimed)
      if (wasOwn && after.device !== self) this.#tellLoss(prefix, after, claims)
    }
  }

  /** By then the path to the new holder is up. */
  #wake(device: DeviceId): void {
    const { addressOf, prober } = this.#options
    const address = addressOf(device)
    if (address !== undefined) void prober.echo(address, HAND_OVER_MS)
  }

  #tellLoss(prefix: Prefix, { device }: Followed, claims: readonly RouteClaim[]): void {
    const { log, nameOf } = this.#options
    const epoch = claims.find((claim) => claim.device === device)?.envelope.body.epoch
    log('warn', 'route.lost', { prefix, to: nameOf(device), epoch })
  }

  /** What nobody claims any more, but for what is still answered for. */
  #forget(): void {
    const { claims } = this.#view
    for (const prefix of this.#followed.keys()) {
      if (!claims.has(prefix)) this.#followed.delete(prefix)
    }
    for (const key of this.#choices.keys()) {
      if (key !== EXIT && !claims.has(key)) this.#choices.delete(key)
    }
  }

  #watchAll(): void {
    const contested = [...this.#shorter().map(([, claims]) => claims)]
      .filter((claims) => claims.length > 1)
      .flatMap((claims) => claims.map(({ device }) => device))
    const exits = this.exit === undefined ? [] : this.#exits().map(({ device }) => device)
    const { device: self } = this.#options
    const always = [...this.#view.standbys].flatMap(([prefix, standbys]) =>
      watchedBy({ self, holder: this.#view.claims.get(prefix)?.[0]?.device, standbys }),
    )
    this.#reach.watch(new Set([...contested, ...exits]), new Set(always))
    for (const [prefix, claims] of this.#shorter()) this.#probe(prefix, claims)
    for (const [prefix, { asker }] of this.#probes) {
      if (this.#view.claims.has(prefix)) continue
      asker[Symbol.dispose]()
      this.#probes.delete(prefix)
    }
  }

  /** The target behind the router in use, where there is another router. */
  #probe(prefix: Prefix, claims: readonly RouteClaim[]): void {
    const device = this.#choices.get(prefix)?.device
    const wanted =
      claims.length > 1
        ? claims.find((claim) => claim.device === device)?.envelope.body.probe
        : undefined
    const text = wanted && formatRouteProbe(wanted)
    const there = this.#probes.get(prefix)
    if (there !== undefined && there.device === device && there.text === text) {
      there.asker.setUsed(this.#reach.isUsed(there.device))
      return
    }
    there?.asker[Symbol.dispose]()
    this.#probes.delete(prefix)
    if (wanted === undefined || text === undefined || device === undefined) return
    const { clock, prober, onChange } = this.#options
    const ask = (timeoutMs: number) => prober.probe(wanted, timeoutMs)
    const asker = new Asker({ clock, ask, onChange: () => onChange() }, this.#reach.isUsed(device))
    this.#probes.set(prefix, { device, text, asker })
  }

  #schedule(nowMs: number): void {
    this.#timer?.cancel()
    const followed = [...this.#followed.values()].map((one) => followDueMs(one, nowMs))
    const departures = departureDueMs(this.#departures, nowMs)
    const dueMs = Math.min(...followed, handedDueMs(this.#handed), departures)
    if (dueMs === Infinity) return
    this.#timer = this.#options.clock.after(Math.max(1, dueMs - nowMs + 1), () =>
      this.#options.onChange(),
    )
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel()
    this.#reach[Symbol.dispose]()
    for (const { asker } of this.#probes.values()) asker[Symbol.dispose]()
  }
}
