/** Names: the organization's names on this host, as they change: the resolver, and what the host is told of it. */
import { lookup } from 'node:dns/promises'
import type { RandomBytes } from '../../crypto/random.ts'
import { addressFamily, type Endpoint, type IpAddress } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { type NameRedirect, startNameRedirect } from '../host/name-redirect.ts'
import type { Commands } from '../host/run.ts'
import { hostServers } from './exit-resolver.ts'
import { type ExitUse, exchangeWith, withExit } from './exit-use.ts'
import { Forwarder } from './forwarder.ts'
import type { Hooked } from './hook.ts'
import { Hooking, type HookStatus } from './hooking.ts'
import { hostsHook } from './hosts-hook.ts'
import type { NameKnowledge } from './knowledge.ts'
import { resolvconfHook } from './resolvconf-hook.ts'
import { resolvedHook } from './resolved-hook.ts'
import { resolver } from './resolver.ts'
import { type NameServer, type Responder, startNameServer } from './server.ts'
import { type Zones, zonesOf } from './zones.ts'

export interface NamesOptions {
  knowledge(): NameKnowledge | undefined
  /** As the forwarder asks it. */
  isReachable(address: IpAddress): boolean
  /** Undefined while this host's packets leave by themselves. */
  exit(): ExitUse | undefined
  /** Are the host's programs to find the names? */
  readonly isHooked: boolean
  /** Are short names this organization's? Of those of one host one's are. */
  readonly isSearched: boolean
  readonly interfaceName: string
  /** Names this agent among those of the host. */
  readonly key: string
  readonly hostsFile: string
  readonly commands: Commands
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
}

/** Milliseconds: changes come in bunches · what time alone changes · what others may have removed. */
const BUNCH_MS = 50
const LOOK_MS = 30_000
const RENEW_MS = 60_000

export interface NamesStatus {
  readonly zones: Zones
  readonly hook: HookStatus
  readonly server: Endpoint | undefined
}

export class Names implements AsyncDisposable {
  readonly #options: NamesOptions
  readonly #hooking: Hooking
  readonly #forwarder: Forwarder
  readonly #respond: Responder
  readonly #timers: Cancellable[] = []
  #bunch: Cancellable | undefined
  #server: NameServer | undefined
  #redirect: NameRedirect | undefined
  /** For questions that come by IPv6, which only the redirect brings. */
  #server6: NameServer | undefined
  #zones: Zones
  #known: NameKnowledge | undefined
  #exitText: string
  #told = ''
  #following: Promise<void> = Promise.resolve()
  #isEnded = false

  private constructor(options: NamesOptions) {
    const { interfaceName, commands, key, hostsFile, clock, log } = options
    this.#options = options
    this.#forwarder = new Forwarder({ ...options, exchange: exchangeWith(() => options.exit()) })
    this.#respond = resolver(() => this.#zones, this.#forwarder)
    this.#known = options.knowledge()
    this.#exitText = textOfExit(options.exit())
    this.#zones = zonesOf(withExit(this.#known, options.exit()))
    const hooks = [
      resolvedHook({ interfaceName, commands }),
      resolvconfHook({ interfaceName, commands, serveAt: (address) => this.#serveAt(address) }),
      hostsHook(key, hostsFile),
    ]
    this.#hooking = new Hooking({ hooks, lookUp, clock, log })
  }

  /** Resolves when what an earlier process left is gone; the host is told later. Never rejects. */
  static async start(options: NamesOptions): Promise<Names> {
    const names = new Names(options)
    await names.#hooking.remove()
    const { interfaceName, commands, clock, log } = options
    names.#redirect = await startNameRedirect({ interfaceName, commands, clock, log })
    if (!options.isHooked) return names
    names.#server = await startNameServer({ respond: names.#respond, clock, log })
    names.#tell()
    names.#timers.push(
      clock.every(LOOK_MS, () => names.#look()),
      clock.every(RENEW_MS, () => names.#renew()),
    )
    return names
  }

  #serveAt(address: IpAddress): Promise<NameServer | undefined> {
    const { clock, log } = this.#options
    return startNameServer({ respond: this.#respond, clock, log, places: [{ address, port: 53 }] })
  }

  get status(): NamesStatus {
    return { zones: this.#zones, hook: this.#hooking.status, server: this.#server?.at }
  }

  /** What is believed has changed. */
  changed(): void {
    if (this.#isEnded || this.#bunch !== undefined) return
    this.#bunch = this.#options.clock.after(BUNCH_MS, () => {
      this.#bunch = undefined
      this.#look()
    })
  }

  /** Resolves when the host has been told what is known now. */
  async settled(): Promise<void> {
    await this.#following
  }

  #look(): void {
    const [known, exit] = [this.#options.knowledge(), this.#options.exit()]
    const exitText = textOfExit(exit)
    if (known === this.#known && exitText === this.#exitText) return
    this.#exitText = exitText
    const { forwards } = this.#zones
    this.#known = known
    this.#zones = zonesOf(withExit(known, exit))
    if (JSON.stringify(forwards) !== JSON.stringify(this.#zones.forwards)) this.#forwarder.forget()
    this.#tell()
  }

  /** As it was, once more: others may have removed it. */
  #renew(): void {
    this.#told = ''
    this.#tell()
  }

  #tell(): void {
    if (!this.#options.isHooked || this.#isEnded) return
    const wanted = hooked(this.#known, this.#zones, this.#server?.at, this.#options.isSearched)
    const text = `${JSON.stringify(wanted)} ${this.#exitText}`
    if (text === this.#told) return
    this.#told = text
    this.#following = this.#following
      .then(() => (this.#isEnded ? undefined : this.#follow(wanted)))
      .catch((error: unknown) => {
        this.#options.log('error', 'names.hook-failed', { reason: explain(error) })
      })
  }

  async #follow(wanted: Hooked | undefined): Promise<void> {
    await this.#hooking.follow(wanted)
    const exit = this.#options.exit()
    if (exit === undefined) {
      await this.#redirect?.configure(undefined)
      await this.#endServer6()
      return
    }
    const { beside } = exit
    const addresses = hostServers().map(({ address }) => address)
    const servers = await this.#redirectTo(wanted)
    await this.#redirect?.configure({ servers, hostServers: addresses, beside })
  }

  /** systemd-resolved is told of all domains, and binds what it asks for a link's own to that link, where nothing can be
   *  redirected: that is refused. So is all while there are no names. */
  async #redirectTo(wanted: Hooked | undefined): Promise<readonly Endpoint[]> {
    if (wanted === undefined || this.#hooking.status.kind === 'systemd-resolved') return []
    const own = wanted.own.addresses.find((each) => addressFamily(each) === 6)
    if (this.#server6?.at.address !== own) await this.#endServer6()
    if (own !== undefined) this.#server6 ??= await this.#serve6(own)
    return [this.#server, this.#server6].flatMap((each) => each?.at ?? [])
  }

  #serve6(address: IpAddress): Promise<NameServer | undefined> {
    const { clock, log } = this.#options
    const places = [53, 53_053].map((port) => ({ address, port }))
    return startNameServer({ respond: this.#respond, clock, log, places })
  }

  async #endServer6(): Promise<void> {
    await this.#server6?.[Symbol.asyncDispose]()
    this.#server6 = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true
    this.#bunch?.cancel()
    for (const timer of this.#timers) timer.cancel()
    await this.#following
    await this.#hooking.remove()
    await this.#redirect?.[Symbol.asyncDispose]()
    await this.#endServer6()
    await this.#server?.[Symbol.asyncDispose]()
  }
}

function textOfExit(exit: ExitUse | undefined): string {
  return exit === undefined ? '' : `by ${exit.address} beside ${exit.beside.join()}`
}

/** Undefined: there are no names. */
export function hooked(
  known: NameKnowledge | undefined,
  { domains, apexes, forwards, listed }: Zones,
  server: Endpoint | undefined,
  isSearched = true,
): Hooked | undefined {
  const [search] = domains
  if (search === undefined || known === undefined) return undefined
  return {
    server,
    search,
    isSearched,
    // Reverse zones last: where a host takes only so many, they are what can be missed.
    domains: [...new Set([...domains, ...forwards.map(({ domain }) => domain), ...apexes])],
    lines: listed.flatMap(({ name, short, addresses }) =>
      addresses.map((address) => ({
        address,
        names: short === '' || !isSearched ? [name] : [name, short],
      })),
    ),
    own: {
      name: listed.find(({ short }) => short === known.self.name)?.name ?? search,
      addresses: known.devices.get(known.self.name)?.addresses ?? [],
    },
  }
}

async function lookUp(name: string): Promise<readonly string[]> {
  try {
    const found = await lookup(name, { all: true })
    return found.map(({ address }) => address)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return []
    throw error
  }
}
