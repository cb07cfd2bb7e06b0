/** Route side: everything about routes beside the plan: what is measured and chosen, what this device offers, and what the
 *  host does for it. */
import { join } from 'node:path'
import { isDefaultPrefix, isHostPrefix, type Prefix } from '../../protocol/address.ts'
import { mayAdvertise, memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { routeClaims, routeStandbys } from '../../protocol/route-claims.ts'
import type { Daemon } from '../daemon.ts'
import { explain } from '../errors.ts'
import { readLink, readLinksBehind } from '../host/links-behind.ts'
import { hostNetworks } from '../host/routed-networks.ts'
import type { Router } from '../host/router.ts'
import { hasExit } from '../organizations/share.ts'
import type { Plan } from '../plan.ts'
import { CarrierWatch } from './carrier-watch.ts'
import { nameOf, newWatch } from './daemon-watch.ts'
import { ExitClient } from './exit-client.ts'
import { openExitSettings } from './exit-settings.ts'
import type { RouteWish } from './next-claim.ts'
import { type Advertised, OwnRoutes } from './own-routes.ts'
import { awaitQuiet } from './quiet.ts'
import type { RouteChoice } from './route-choice.ts'
import { RouteControl } from './route-control.ts'
import type { RouteView, RouteWatch } from './route-watch.ts'

export interface RouteSideOptions {
  readonly stateDir: string
  readonly interfaceName: string
  readonly listenPort: number
  readonly meshListen: readonly string[]
  /** Advertised by options. */
  readonly advertised: readonly Advertised[]
  /** Forward to what is advertised. */
  readonly networkRouter: boolean
  readonly nat: boolean
  readonly log: Log
}

/** Milliseconds that a stop waits for others to use another router. */
const LEAVE_MS = 5000

/** What the parts of a running route side are. */
export interface RouteParts {
  readonly options: RouteSideOptions
  readonly daemon: Daemon
  readonly watch: RouteWatch
  readonly own: OwnRoutes
  readonly exit: ExitClient
  /** Absent where this host does not forward. */
  readonly router: Router | undefined
}

/** Begins to choose and to offer. Throws CommandError where the host does not allow what options want. */
export async function startRouteSide(
  options: RouteSideOptions,
  daemon: Daemon,
  ending: AsyncDisposableStack,
): Promise<RouteSide> {
  const { stateDir, interfaceName: tunnelInterface, listenPort, log } = options
  const { commands, clock, inside } = daemon.options
  const settings = await openExitSettings(join(stateDir, 'exit-node.json'), log)
  const exit = ending.use(await ExitClient.start({ ...options, daemon, settings }))
  let router: Router | undefined
  if (options.networkRouter && inside === undefined) {
    const { startRouter } = await import('../host/router.ts')
    const sysctlFile = join(stateDir, 'forwarding.json')
    const host = { tunnelInterface, listenPort, sysctlFile, commands, clock, log }
    router = ending.use(await startRouter(host))
  }
  const side: RouteSide = ending.use(new RouteSide(options, daemon, exit, router))
  daemon.useRoutes(side)
  await side.begin()
  return side
}

export class RouteSide implements Disposable {
  readonly #parts: RouteParts
  readonly control: RouteControl
  /** Told when the host has been made as planned, or as far as it can be. */
  onApplied: () => void = () => undefined
  readonly #said = new Set<string>()
  #carrier: CarrierWatch | undefined
  #reacting = Promise.resolve()
  #isEnded = false

  constructor(
    options: RouteSideOptions,
    daemon: Daemon,
    exit: ExitClient,
    router: Router | undefined,
  ) {
    const watch = newWatch(options, daemon, exit)
    const own = new OwnRoutes({
      device: daemon.device,
      advertised: options.advertised,
      file: join(options.stateDir, 'routes.json'),
      say: (prefix, wish) => this.say(prefix, wish),
      routes: () => daemon.statements.routes(),
      nameOf: (device) => nameOf(daemon, device),
      clock: daemon.options.clock,
      log: options.log,
    })
    this.#parts = { options, daemon, exit, router, watch, own }
    this.control = new RouteControl(this.#parts, this)
  }

  get choice(): RouteChoice {
    return this.#parts.watch
  }

  /** By what this host's packets leave; no device: none is usable, and nothing leaves. Undefined: no exit is wanted. */
  get exitInUse(): { readonly device?: DeviceId } | undefined {
    const { exit, watch, daemon } = this.#parts
    const isUsed =
      exit.settings.preference.kind !== 'off' && hasExit(daemon.options.neighbours?.current)
    if (!isUsed) return undefined
    const isCarried = exit.families(daemon.plan).size > 0
    return isCarried && watch.exit !== undefined ? { device: watch.exit } : {}
  }

  view(): RouteView {
    const { knowledge, clock } = this.#parts.daemon.options
    const [state, now] = [knowledge.state(), clock.now()]
    return { claims: routeClaims(state, now), standbys: routeStandbys(state, now) }
  }

  async begin(): Promise<void> {
    const { own, daemon, options } = this.#parts
    const carrier = newCarrierWatch(this.#parts, (prefix, wish) => this.say(prefix, wish))
    await own.begin(async (prefixes, links) =>
      carrier === undefined ? new Set() : carrier.begin(prefixes.filter(isBehindLink), links),
    )
    this.#carrier = carrier
    const { knowledge, clock } = daemon.options
    const certificate = memberOf(knowledge.state(), daemon.device, clock.now())?.certificate
    for (const { prefix } of options.advertised) {
      if (certificate === undefined || mayAdvertise(certificate, prefix)) continue
      const role = isDefaultPrefix(prefix) ? ', with the role exit-node' : ''
      const hint = `an admin grants it in the registry${role}; it is advertised then`
      options.log('warn', 'route.not-allowed', { prefix, hint })
    }
    carrier?.look()
  }

  networkChanged(): void {
    this.#carrier?.look()
  }

  /** Why this device has drained a prefix by itself; undefined: it has not. */
  whyDrained(prefix: Prefix): string | undefined {
    return this.#carrier?.why(prefix)
  }

  /** Before a plan is made. */
  update(): void {
    if (this.#isEnded) return
    const { watch, own } = this.#parts
    const view = this.view()
    watch.update(view)
    const takeovers = watch.takeovers()
    this.#reacting = this.#reacting
      .then(() => own.react(view, takeovers))
      .catch((error: unknown) => this.#fault('route.not-said', error))
  }

  /** The tunnel is as planned: now the host is made so, too. */
  async applied(plan: Plan): Promise<void> {
    if (this.#isEnded) return
    this.#carrier?.update()
    const { router, exit, watch, options } = this.#parts
    // The exit goes first and waits for nothing: without it this host's packets leave in clear.
    const isByExit = await this.#made('exit.configure-failed', () => exit.configure(plan, watch))
    this.onApplied()
    const isRouter = await this.#made('router.configure-failed', async () =>
      router?.configure({
        prefixes: plan.policyUnderstood ? plan.routed : [],
        localPrefixes: hostNetworks(options.interfaceName),
        nat: options.nat,
      }),
    )
    if (isByExit && isRouter) this.#said.clear()
  }

  async #made(failed: string, make: () => Promise<void>): Promise<boolean> {
    try {
      await make()
      return true
    } catch (error) {
      this.#fault(failed, error)
      return false
    }
  }

  /** Others hear of it when this device answers for the prefix already. */
  async say(prefix: Prefix, wish: RouteWish): Promise<boolean> {
    const { daemon } = this.#parts
    const bytes = daemon.statements.route(prefix, wish)
    if (bytes === undefined) return false
    await daemon.settled()
    daemon.publish(bytes)
    return true
  }

  /** Others are to do without this device. Resolves when nothing comes any more, true, or after so many milliseconds. */
  async drain(withinMs: number): Promise<boolean> {
    const { own, router, daemon } = this.#parts
    await this.#carrier?.leave()
    const moving = await own.drain(this.view())
    const isHeld = (prefix: Prefix): boolean =>
      isHostPrefix(prefix) &&
      (this.choice.alsoServed.has(prefix) ||
        this.choice.holder(prefix, this.view().claims.get(prefix) ?? []) === daemon.device)
    return awaitQuiet(
      moving,
      { isHeld, packetsTo: async (prefix) => router?.packetsTo(prefix) },
      daemon.options.clock,
      withinMs,
    )
  }

  async resume(): Promise<void> {
    await this.#parts.own.resume()
    this.#carrier?.resume()
  }

  /** Before a stop. */
  async leave(): Promise<void> {
    try {
      await this.drain(LEAVE_MS)
      await this.#parts.own.keepDrained()
    } catch (error) {
      this.#fault('router.not-drained', error)
    }
  }

  #fault(event: string, error: unknown): void {
    const reason = explain(error)
    if (this.#said.has(`${event} ${reason}`)) return
    this.#said.add(`${event} ${reason}`)
    this.#parts.options.log('error', event, { reason })
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    this.#carrier?.[Symbol.dispose]()
    this.#parts.watch[Symbol.dispose]()
  }
}

/** Undefined where packets leave no interface. */
function newCarrierWatch(
  { options, daemon, own }: RouteParts,
  say: (prefix: Prefix, wish: RouteWish) => Promise<boolean>,
): CarrierWatch | undefined {
  const { commands, clock, inside } = daemon.options
  if (inside !== undefined) return undefined
  return new CarrierWatch({
    routes: () => daemon.statements.routes().filter(({ prefix }) => isBehindLink(prefix)),
    linksBehind: (prefixes) => readLinksBehind(commands, prefixes, options.interfaceName),
    link: (name) => readLink(commands, name),
    say,
    keep: (drained, links) => own.keepAside(drained, links),
    clock,
    log: options.log,
  })
}

function isBehindLink(prefix: Prefix): boolean {
  return !isHostPrefix(prefix) && !isDefaultPrefix(prefix)
}
