/** Exit client: this host's use of an exit: what its operator wants, and the routing that follows from the plan. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import {
  type AddressFamily,
  addressFamily,
  type IpAddress,
  isDefaultPrefix,
  type Prefix,
  parseIpAddress,
  prefixAddress,
} from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Daemon } from '../daemon.ts'
import { type ExitNode, startExitNode } from '../host/exit-node.ts'
import { isContainerInterface, localPrefixes, underlayAddresses } from '../host/local-addresses.ts'
import type { ExitRouting } from '../host/policy-routing.ts'
import { hasExit } from '../organizations/share.ts'
import type { Plan } from '../plan.ts'
import { rendezvousMultiaddrs } from '../plan-peers.ts'
import type { ExitSettings } from './exit-choice.ts'
import type { KeptExitSettings } from './exit-settings.ts'
import type { RouteChoice } from './route-choice.ts'
import { besidePrefixes, underlayServers } from './underlay.ts'

export interface ExitClientOptions {
  readonly daemon: Daemon
  readonly settings: KeptExitSettings
  readonly interfaceName: string
  readonly listenPort: number
}

/** Milliseconds between look-ups of the registry's name. */
const LOOKUP_MS = 300_000

export class ExitClient implements AsyncDisposable {
  readonly #options: ExitClientOptions
  /** Undefined without an interface: then nothing but the proxy uses the tunnel. */
  readonly #node: ExitNode | undefined
  #registry: { readonly addresses: readonly IpAddress[]; readonly atMs: number } = {
    addresses: [],
    atMs: -Infinity,
  }

  private constructor(options: ExitClientOptions, node: ExitNode | undefined) {
    this.#options = options
    this.#node = node
  }

  /** Removes what a crash left. Throws CommandError. */
  static async start(options: ExitClientOptions): Promise<ExitClient> {
    const { commands, inside, neighbours } = options.daemon.options
    const node =
      inside === undefined
        ? await startExitNode(commands, options.listenPort, neighbours?.isFirst)
        : undefined
    return new ExitClient(options, node)
  }

  get settings(): ExitSettings {
    return this.#options.settings.current()
  }

  get isPossible(): boolean {
    return this.#node !== undefined
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
    const { neighbours } = this.#options.daemon.options
    if (isWanted) neighbours?.wantExit(true)
    const isUsed = isWanted && hasExit(neighbours?.current)
    if (isUsed) await this.#lookUpRegistry()
    await this.#node.configure(isUsed ? this.#routing(plan, choice.exit) : undefined)
    // What is not in force any more another organization may have.
    if (!isWanted) neighbours?.wantExit(false)
  }

  #routing(plan: Plan, exit: DeviceId | undefined): ExitRouting {
    const { daemon, interfaceName: tunnelInterface, listenPort } = this.#options
    const { knowledge, clock, checkPort, neighbours } = daemon.options
    const [state, now] = [knowledge.state(), clock.now()]
    const rendezvous = rendezvousMultiaddrs(state, daemon.join, now)
    const servers = [...this.#registry.addresses, ...underlayServers(state, rendezvous, now)]
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

  /** A registry that can't be looked up now keeps the addresses that it had. */
  async #lookUpRegistry(): Promise<void> {
    const { daemon } = this.#options
    const nowMs = daemon.options.clock.monotonicMs()
    if (nowMs - this.#registry.atMs < LOOKUP_MS) return
    const host = new URL(daemon.join.registry).hostname.replace(/^\[(.*)\]$/, '$1')
    const found =
      isIP(host) > 0
        ? [host]
        : await lookup(host, { all: true }).then(
            (all) => all.map(({ address }) => address),
            () => undefined,
          )
    const addresses = found?.map(parseIpAddress) ?? this.#registry.addresses
    this.#registry = { addresses, atMs: nowMs }
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
