/** Underlay watch: looks at the addresses by which a daemon's tunnel runs, and has its neighbours know. */
import type { IpAddress } from '../../protocol/address.ts'
import type { Daemon } from '../daemon.ts'
import { knownRegistries } from '../known-registries.ts'
import { rendezvousMultiaddrs, stunServers } from '../plan-peers.ts'
import { RegistryAddresses } from '../routes/registry-addresses.ts'
import { underlayServers } from '../routes/underlay.ts'
import type { Neighbours } from './neighbours.ts'
import { type Proved, provedNow, underlayOf } from './underlay.ts'

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
      servers: neighbours.isFirst ? this.#servers() : [],
      own: local.candidates.map(({ address }) => address),
      elsewhere: plan.elsewhere,
    })
    neighbours.useUnderlay(addresses)
  }

  #servers(): readonly IpAddress[] {
    const { options, join } = this.#daemon
    const [state, now] = [options.knowledge.state(), options.clock.now()]
    void this.#registries
      .lookUp(knownRegistries(join.registry, join.registries))
      .then((isNew) => isNew && this.look())
    return [
      ...this.#registries.current,
      ...underlayServers(state, rendezvousMultiaddrs(state, join, now), now),
      ...stunServers(state, join, now).map(({ address }) => address),
    ]
  }

  [Symbol.dispose](): void {
    this.#looking.cancel()
  }
}
