/** Exit client: this host's use of an exit: what its operator wants, and the routing that follows from the plan. */
import { networkInterfaces } from 'node:os'
import {
  type AddressFamily,
  addressFamily,
  isDefaultPrefix,
  type Prefix,
  prefixAddress,
} from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Daemon } from '../daemon.ts'
import { explain } from '../errors.ts'
import { type ExitNode, startExitNode } from '../host/exit-node.ts'
import { isContainerInterface, localPrefixes, underlayAddresses } from '../host/local-addresses.ts'
import type { ExitRouting } from '../host/policy-routing.ts'
import { hasExit } from '../organizations/share.ts'
import type { Plan } from '../plan.ts'
import { rendezvousMultiaddrs } from '../plan-peers.ts'
import type { ExitSettings } from './exit-choice.ts'
import type { KeptExitSettings } from './exit-settings.ts'
import { RegistryAddresses } from './registry-addresses.ts'
import type { RouteChoice } from './route-choice.ts'
import { besidePrefixes, underlayServers } from './underlay.ts'

export interface ExitClientOptions {
  readonly daemon: Daemon
  readonly settings: KeptExitSettings
  readonly interfaceName: string
  readonly listenPort: number
}

export class ExitClient implements AsyncDisposable {
  readonly #options: ExitClientOptions
  /** Undefined without an interface: then nothing but the proxy uses the tunnel. */
  readonly #node: ExitNode | undefined
  readonly #registry: RegistryAddresses
  #failure: string | undefined

  private constructor(options: ExitClientOptions, node: ExitNode | undefined) {
    this.#options = options
    this.#node = node
    this.#registry = new RegistryAddresses(options.daemon.options.clock)
  }

  /** Removes what a crash left, unless an exit is wanted still. Throws CommandError. */
  static async start(options: ExitClientOptions): Promise<ExitClient> {
    const { commands, inside, neighbours } = options.daemon.options
    const isWanted = options.settings.current().preference.kind !== 'off'
    const node =
      inside === undefined
        ? await startExitNode(commands, options.listenPort, neighbours?.isFirst, isWanted)
        : undefined
    return new ExitClient(options, node)
  }

  get settings(): ExitSettings {
    return this.#options.settings.current()
  }

  get isPossible(): boolean {
    return this.#node !== undefined
  }

  /** Why the host is not as was planned last; undefined: it is. */
  get failure(): string | undefined {
    return this.#failure
  }

  set(settings: ExitSettings): Promise<void> {
    return this.#options.settings.set(settings)
  }

  /** The families that the exit in use carries. */
  families(plan: Plan): ReadonlySet<AddressFamily> {
    const peers = [...plan.tunnel.peers.values()]
    return new Set(
      peers.flatMap(({ allowedIps }) => allowedIps.filter(isDefaultPrefix).map(addressFamily)),
    )
  }

  async configure(plan: Plan, choice: RouteChoice): Promise<void> {
    if (this.#node === undefined) return
    const isWanted = this.settings.preference.kind !== 'off'
    const { daemon } = this.#options
    const { neighbours } = daemon.options
    if (isWanted) neighbours?.wantExit(true)
    const isUsed = isWanted && hasExit(neighbours?.current)
    if (isUsed) await this.#registry.lookUpAside([daemon.join.registry], () => daemon.apply())
    await this.#make(isUsed ? this.#routing(plan, choice.exit) : undefined)
    // What is not in force any more another organization may have.
    if (!isWanted) neighbours?.wantExit(false)
  }

  async #make(routing: ExitRouting | undefined): Promise<void> {
    try {
      await this.#node?.configure(routing)
      this.#failure = undefined
    } catch (error) {
      this.#failure = explain(error)
      throw error
    }
  }

  #routing(plan: Plan, exit: DeviceId | undefined): ExitRouting {
    const { daemon, interfaceName: tunnelInterface, listenPort } = this.#options
    const { knowledge, clock, checkPort, neighbours } = daemon.options
    const [state, now] = [knowledge.state(), clock.now()]
    const rendezvous = rendezvousMultiaddrs(state, daemon.join, now)
    const servers = [...this.#registry.current, ...underlayServers(state, rendezvous, now)]
    const routed = [...plan.tunnel.peers.values()].flatMap(({ allowedIps }) =>
      allowedIps.filter((prefix) => !isDefaultPrefix(prefix)),
    )
    return {
      tunnelInterface,
      families: this.families(plan),
      sources: plan.tunnel.addresses.map(prefixAddress),
      underlayAddresses: underlayAddresses(tunnelInterface),
      udpPorts: [...new Set([listenPort, checkPort, ...(neighbours?.current?.ports ?? [])])],
      servers,
      beside: besidePrefixes(
        [...routed, ...plan.elsewhere],
        containerPrefixes(tunnelInterface),
        servers,
      ),
      allowLocal: this.settings.allowLocal,
      mtu: exit === undefined ? undefined : daemon.parts.paths?.mtu(exit),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node?.[Symbol.asyncDispose]()
  }
}

/** Networks inside this host, which are no way out of it. */
function containerPrefixes(tunnelInterface: string): readonly Prefix[] {
  const inside = Object.entries(networkInterfaces()).filter(([name]) => isContainerInterface(name))
  return localPrefixes(tunnelInterface, Object.fromEntries(inside))
}
