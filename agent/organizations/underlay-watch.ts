/** Underlay watch: looks at the addresses by which a daemon's tunnel runs, and has its neighbours know. */
import type { Daemon } from '../daemon.ts'
import { knownRegistries } from '../known-registries.ts'
import { rendezvousMultiaddrs, stunServers } from '../plan-peers.ts'
import { RegistryAddresses } from '../routes/registry-addresses.ts'
import { addressIn, underlayServers } from '../routes/underlay.ts'
import type { Neighbours } from './neighbours.ts'
import { serverNames } from './private-names.ts'
import { type Proved, provedNow, type UnderlayFacts, underlayOf } from './underlay.ts'

/** Milliseconds between looks. */
const LOOK_MS = 5000

export class UnderlayWatch implements Disposable {
  readonly #neighbours: Neighbours
  readonly #daemon: Daemon
  readonly #registries: RegistryAddresses
  readonly #looking: { cancel(): void }
  #proved: Proved = new Map()

  constructor(neighbours: Neighbours, daemon: Daemon) {
    const { clock } = daemon.options
    this.#neighbours = neighbours
    this.#daemon = daemon
    this.#registries = new RegistryAddresses(clock)
    this.#looking = clock.every(LOOK_MS, () => this.look())
    this.look()
  }

  /** Costs nothing where the organization is alone. */
  look(): void {
    const neighbours = this.#neighbours
    if (!neighbours.isTelling) return
    const { plan, parts, local } = this.#daemon
    this.#proved = provedNow(this.#proved, plan.peers, (device) => {
      const status = parts.paths?.status(device)
      return status?.kind === 'direct' ? status.endpoint : undefined
    })
    const addresses = underlayOf({
      isFirst: neighbours.isFirst,
      proved: this.#proved,
      peers: plan.peers,
      ...(neighbours.isFirst ? this.#named() : { servers: [], relays: [] }),
      own: local.candidates.map(({ address }) => address),
      elsewhere: plan.elsewhere,
    })
    neighbours.useUnderlay(addresses, neighbours.isFirst ? this.#servers() : [])
  }

  /** Names of the registries, and of their rendezvous. */
  #servers(): readonly string[] {
    const { options, join } = this.#daemon
    const multiaddrs = rendezvousMultiaddrs(options.knowledge.state(), join, options.clock.now())
    return serverNames(knownRegistries(join.registry, join.registries), multiaddrs)
  }

  #named(): Pick<UnderlayFacts, 'servers' | 'relays'> {
    const { options, join } = this.#daemon
    const [state, now] = [options.knowledge.state(), options.clock.now()]
    void this.#registries
      .lookUp(knownRegistries(join.registry, join.registries))
      .then((isNew) => isNew && this.look())
    const rendezvous = rendezvousMultiaddrs(state, join, now)
    return {
      servers: [
        ...this.#registries.current,
        ...rendezvous.flatMap(addressIn),
        ...stunServers(state, join, now).map(({ address }) => address),
      ],
      relays: underlayServers(state, rendezvous, now),
    }
  }

  [Symbol.dispose](): void {
    this.#looking.cancel()
  }
}
