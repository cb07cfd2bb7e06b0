/** Own routes: what this device offers: by options, by its operator, and by what happens to others. It says each wish as a
 *  signed statement, and remembers what a stop of its own made of them. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { isDefaultPrefix, isHostPrefix, type Prefix, parsePrefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { RouteAdvertisement, RouteState } from '../../protocol/route-advertisement.ts'
import type { RouteProbe } from '../../protocol/route-probe.ts'
import { explain } from '../errors.ts'
import { HAND_OVER_MS } from './follow.ts'
import type { RouteWish } from './next-claim.ts'
import type { RouteView } from './route-watch.ts'

export interface OwnRoutesOptions {
  readonly device: DeviceId
  /** Of the command line. */
  readonly advertised: readonly Advertised[]
  /** Where it is remembered. */
  readonly file: string
  /** Seals and learns; false: it is said already. The host is ready for it before others hear of it. */
  say(prefix: Prefix, wish: RouteWish): Promise<boolean>
  routes(): readonly RouteAdvertisement[]
  nameOf(device: DeviceId): string
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: Log
}

export interface Advertised {
  readonly prefix: Prefix
  readonly metric: number
  readonly probe: RouteProbe | undefined
}

/** It carries what is under way until the last user has left it, as a holder does that hands over. */
const PLANNED_DRAIN: RouteWish = { kind: 'drain', handOverMs: HAND_OVER_MS }
/** Milliseconds between two tries to take one prefix over. */
const AGAIN_MS = 3000

const KEPT = z.object({
  options: z.array(z.string()),
  drained: z.array(z.string()),
  links: z.record(z.string(), z.string()).default({}),
})

interface Kept {
  readonly options: readonly Prefix[]
  readonly drained: readonly Prefix[]
  readonly links: Links
}

/** Name of the link that each prefix was last seen behind. */
export type Links = ReadonlyMap<Prefix, string>

/** Which of them lie behind a link without carrier? */
export type FindLost = (prefixes: readonly Prefix[], links: Links) => Promise<ReadonlySet<Prefix>>

export class OwnRoutes {
  readonly #options: OwnRoutesOptions
  readonly #triedMs = new Map<Prefix, number>()
  readonly #offered = new Set<string>()
  #kept: Kept = { options: [], drained: [], links: new Map() }
  #keeping: Promise<void> = Promise.resolve()

  constructor(options: OwnRoutesOptions) {
    this.#options = options
  }

  /** Says what the options want; what they wanted before and do no more is withdrawn, and what the last stop drained
   *  comes back. What is lost comes drained. */
  async begin(findLost: FindLost = async () => new Set()): Promise<void> {
    const { advertised, say } = this.#options
    this.#kept = await this.#read()
    const { options, drained, links } = this.#kept
    const wanted = new Set(advertised.map(({ prefix }) => prefix))
    for (const prefix of options) {
      if (!wanted.has(prefix)) await say(prefix, { kind: 'withdraw' })
    }
    const back = drained.filter((each) => !wanted.has(each) && this.#isSaid(each, 'draining'))
    const lost = await findLost([...wanted, ...back], links)
    for (const prefix of back) {
      if (!lost.has(prefix)) await say(prefix, { kind: 'advertise' })
    }
    for (const { prefix, metric, probe } of advertised) {
      // An address that another device took over meanwhile stays there: nobody has moved it back.
      const isTaken = isHostPrefix(prefix) && this.#isSaid(prefix, 'active')
      const isDraining = lost.has(prefix)
      if (!isTaken) await say(prefix, { kind: 'advertise', metric, probe, isDraining })
    }
    await this.#keep({ options: [...wanted], drained: [...lost], links })
  }

  /** What others ask, and what is left by others. */
  async react({ claims }: RouteView, takeovers: readonly Prefix[]): Promise<void> {
    for (const [prefix, [best]] of claims) {
      const { device } = this.#options
      const isAsked = best?.envelope.body.successor === device && best.device !== device
      if (isAsked && this.#mayTry(prefix)) await this.#succeed(prefix, best.device)
    }
    for (const prefix of takeovers) {
      if (!this.#mayTry(prefix)) continue
      this.#options.log('warn', 'route.taken-over', {
        ...{ prefix, reason: 'its holder does not answer' },
      })
      await this.#options.say(prefix, { kind: 'advertise' })
    }
  }

  /** Others are to do without this device: routers of shorter prefixes drain; a standby takes each address that is held
   *  here. Resolves with those prefixes that somebody else takes. */
  async drain(view: RouteView): Promise<readonly Prefix[]> {
    const { device, say, routes } = this.#options
    const moving: Prefix[] = []
    for (const { prefix, state } of routes()) {
      if (state !== 'active') continue
      const claims = view.claims.get(prefix) ?? []
      if (!isHostPrefix(prefix)) {
        await say(prefix, isDefaultPrefix(prefix) ? { kind: 'drain' } : PLANNED_DRAIN)
        if (claims.some((claim) => claim.device !== device)) moving.push(prefix)
        continue
      }
      const heirs = (view.standbys.get(prefix) ?? []).filter((claim) => claim.device !== device)
      const [heir] = heirs
      if (heir === undefined || claims[0]?.device !== device) continue
      await say(prefix, { kind: 'hand-over', successor: heir.device })
      moving.push(prefix)
    }
    return moving
  }

  /** Before a stop: they come back with the next start. */
  async keepDrained(): Promise<void> {
    const drained = this.#options
      .routes()
      .flatMap(({ prefix, state }) => (state === 'draining' ? [prefix] : []))
    await this.#keep({ ...this.#kept, drained })
  }

  /** Drained by this device itself: they come back with the next start, should it forget them.
   *  @param links which the next start is to look at, for a route may be gone with its link */
  keepAside(drained: readonly Prefix[], links: Links): Promise<void> {
    return this.#keep({ ...this.#kept, drained, links })
  }

  async resume(): Promise<void> {
    for (const { prefix, state } of this.#options.routes())
      if (state === 'draining') await this.#options.say(prefix, { kind: 'advertise' })
  }

  #isSaid(prefix: Prefix, state: RouteState): boolean {
    return this.#options.routes().some((said) => said.prefix === prefix && said.state === state)
  }

  /** Only what its operator offered here before. */
  async #succeed(prefix: Prefix, from: DeviceId): Promise<void> {
    const { log, nameOf, routes, say } = this.#options
    if (routes().some((said) => said.prefix === prefix)) {
      log('info', 'route.handed-over', { prefix, from: nameOf(from) })
      await say(prefix, { kind: 'advertise', handOverMs: HAND_OVER_MS })
      return
    }
    if (this.#offered.has(prefix)) return
    this.#offered.add(prefix)
    const hint = `nexctl route advertise ${prefix} --standby makes it ready for that`
    log('warn', 'route.not-taken', { prefix, from: nameOf(from), hint })
  }

  #mayTry(prefix: Prefix): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    if ((this.#triedMs.get(prefix) ?? -Infinity) + AGAIN_MS > nowMs) return false
    this.#triedMs.set(prefix, nowMs)
    return true
  }

  async #read(): Promise<Kept> {
    try {
      const { options, drained, links } = KEPT.parse(
        JSON.parse(await readFile(this.#options.file, 'utf8')),
      )
      return {
        options: options.map(parsePrefix),
        drained: drained.map(parsePrefix),
        links: new Map(Object.entries(links).map(([each, name]) => [parsePrefix(each), name])),
      }
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!isMissing) this.#options.log('warn', 'routes.unreadable', { reason: explain(error) })
      return { options: [], drained: [], links: new Map() }
    }
  }

  /** One after the other: they write the same file. */
  #keep(kept: Kept): Promise<void> {
    this.#kept = kept
    const { file } = this.#options
    const text = JSON.stringify({ ...kept, links: Object.fromEntries(kept.links) })
    const done = this.#keeping.then(async () => {
      await writeFile(`${file}.new`, text, { mode: 0o600, flush: true })
      await rename(`${file}.new`, file)
    })
    this.#keeping = done.catch(() => undefined)
    return done
  }
}
