/** A NAT box on a virtual network, by what RFC 4787 says of its kind. Pure but for its own tables. */
import type { Endpoint, IpAddress } from '../../../protocol/address.ts'
import { formatEndpoint } from '../../../protocol/address.ts'

type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

export interface NatBehaviour {
  /** `none`: a firewall, which changes no address. */
  readonly mapping: Dependence | 'none'
  readonly filtering: Dependence
  /** Is the internal port kept where it is free? */
  readonly preservesPorts: boolean
  /** Milliseconds without a packet from inside after which a mapping ends (RFC 4787 §4.3). */
  readonly lifetimeMs: number
}

interface Mapping {
  readonly internal: Endpoint
  readonly port: number
  sentMs: number
  /** Whom the inside has sent to, by what the filter looks at, and when last. */
  readonly allowed: Map<string, number>
}

const FIRST_PORT = 1024
const PORTS = 65_536 - FIRST_PORT

export class NatBox {
  behaviour: NatBehaviour
  address: IpAddress
  readonly #random: () => number
  readonly #byInside = new Map<string, Mapping>()
  readonly #byPort = new Map<number, Mapping>()

  /** @param address its address outside */
  constructor(behaviour: NatBehaviour, address: IpAddress, random: () => number) {
    this.behaviour = behaviour
    this.address = address
    this.#random = random
  }

  /** As what a packet of the inside leaves. */
  outward(internal: Endpoint, remote: Endpoint, nowMs: number): Endpoint {
    const { mapping } = this.behaviour
    const key = `${formatEndpoint(internal)} ${scope(remote, mapping === 'none' ? 'endpoint-independent' : mapping)}`
    const known = this.#byInside.get(key)
    const isAlive = known !== undefined && nowMs - known.sentMs < this.behaviour.lifetimeMs
    const made = isAlive ? known : this.#map(key, internal)
    made.sentMs = nowMs
    made.allowed.set(scope(remote, this.behaviour.filtering), nowMs)
    return mapping === 'none' ? internal : { address: this.address, port: made.port }
  }

  /** Whom inside a packet that arrived is for; undefined: dropped. */
  inward(to: Endpoint, remote: Endpoint, nowMs: number): Endpoint | undefined {
    const mapping = this.#byPort.get(to.port)
    if (mapping === undefined) return undefined
    const { lifetimeMs, filtering } = this.behaviour
    if (nowMs - mapping.sentMs >= lifetimeMs) return undefined
    const allowedMs = mapping.allowed.get(scope(remote, filtering)) ?? -Infinity
    return nowMs - allowedMs < lifetimeMs ? mapping.internal : undefined
  }

  /** All state is lost, as when it is switched off and on. */
  flush(): void {
    this.#byInside.clear()
    this.#byPort.clear()
  }

  #map(key: string, internal: Endpoint): Mapping {
    const old = this.#byInside.get(key)
    if (old !== undefined) this.#byPort.delete(old.port)
    const port = this.#freePort(internal.port)
    const made: Mapping = { internal, port, sentMs: 0, allowed: new Map() }
    this.#byInside.set(key, made)
    this.#byPort.set(port, made)
    return made
  }

  #freePort(wanted: number): number {
    const { preservesPorts, mapping } = this.behaviour
    if (mapping === 'none') return wanted
    if (preservesPorts && !this.#byPort.has(wanted)) return wanted
    for (;;) {
      const port = FIRST_PORT + Math.floor(this.#random() * PORTS)
      if (!this.#byPort.has(port)) return port
    }
  }
}

function scope({ address, port }: Endpoint, dependence: Dependence): string {
  switch (dependence) {
    case 'endpoint-independent':
      return ''
    case 'address-dependent':
      return address
    case 'address-and-port-dependent':
      return `${address} ${port}`
  }
}
