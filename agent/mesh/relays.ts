/** Relays: what carries datagrams for this device, before libp2p is there and after. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { RelayId } from '../../protocol/relay-attach.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { AttachedRelays, type AttachedRelaysOptions } from './attached-relays.ts'
import { RelayAddresses } from './relay-addresses.ts'
import { RelayClient, type RelayClientOptions, type RelayInUse } from './relay-client.ts'
import type { RelayEnd } from './relay-ends.ts'
import { RelayRoles } from './relay-roles.ts'

/** Milliseconds for which a session that was attached goes on beside a stream to the same relay, which may not be proved
 *  yet; and beside one to another. */
const BESIDE_MS = { same: 3000, other: 15_000 } as const
/** Milliseconds that the mesh gets to bring another stream where there is none any more. */
const MISSED_MS = 1500

export interface RelaysOptions
  extends Pick<AttachedRelaysOptions, 'deviceKey' | 'organization' | 'targets'>,
    Pick<RelayClientOptions, 'onDatagram' | 'onRelayDoubt' | 'log'> {
  /** Belief at this moment. */
  state(): OrganizationState
  /** There is another relay, or one less. */
  onChange(): void
  readonly clock: Clock
  random(length: number): Uint8Array
}

export class Relays implements Disposable {
  readonly addresses = new RelayAddresses()
  readonly roles: RelayRoles
  readonly client: RelayClient
  readonly #attached: AttachedRelays
  readonly #options: RelaysOptions
  /** Ends of streams that lead to relays, where those pass on to others. */
  readonly #streams = new Set<RelayEnd>()
  /** When sessions are looked at that a stream may take the place of. */
  #closing: readonly Cancellable[] | undefined
  #isEnded = false

  constructor(options: RelaysOptions) {
    this.#options = options
    this.roles = new RelayRoles(() => options.state(), options.clock)
    this.client = new RelayClient({ ...options, addresses: this.addresses, roles: this.roles })
    this.#attached = new AttachedRelays({
      ...options,
      onOpen: (end) => {
        this.client.add(end)
        options.onChange()
      },
      onFrame: (end, frame) => this.client.received(end, frame),
      onDoubt: (end) => this.client.doubted(end),
      isRelay: ({ device }) => this.roles.has(device),
      onClose: (end) => {
        this.client.remove(end)
        options.onChange()
      },
    })
  }

  /** Those that can be had without a stream. */
  attach(): void {
    if (this.#streamed().size === 0 && !this.#isEnded) this.#attached.want()
  }

  /** This host has moved: its streams may take seconds to notice. */
  networkChanged(): void {
    if (this.#isEnded) return
    this.#attached.again()
    this.#options.clock.after(BESIDE_MS.same, () => this.look())
  }

  /** A stream to the other end is open. */
  opened(end: RelayEnd): void {
    this.client.add(end)
    if (end.isCircuit) return
    this.#streams.add(end)
    this.look()
  }

  closed(end: RelayEnd): void {
    this.client.remove(end)
    if (this.#streams.delete(end)) this.#options.clock.after(MISSED_MS, () => this.attach())
  }

  /** Another end passes on to others, perhaps: what it is was not known when its stream was opened. */
  look(): void {
    if (this.#streamed().size === 0) return
    this.#attached.suffice()
    const { clock } = this.#options
    this.#closing ??= [
      clock.after(BESIDE_MS.same, () => this.#attached.close((id) => this.#streamed().has(id))),
      clock.after(BESIDE_MS.other, () => {
        this.#closing = undefined
        this.#attached.close(() => this.#streamed().size > 0)
      }),
    ]
  }

  /** Relays that there is a stream to. */
  #streamed(): ReadonlySet<RelayId> {
    const ends = [...this.#streams].filter((end) => end.isOpen() && end.passesOn())
    return new Set(ends.map(({ relay }) => relay.id))
  }

  /** Forgets whoever is no peer any more. */
  setPeers(peers: readonly { readonly device: DeviceId; readonly name: string }[]): void {
    this.addresses.setPeers(peers.map(({ device }) => device))
    this.client.setPeers(peers)
  }

  /** Never waits. False: no relay reaches the device now, or all are full.
   *  @param relay id of the one to send by, for checks and their answers */
  send(to: DeviceId, datagram: Uint8Array, relay?: string): boolean {
    return this.addresses.isPeer(to) && this.client.send(to, datagram, relay)
  }

  /** Ids of the relays through which the device is to be checked: the one in use, and another kept warm. */
  relayRoutes(to: DeviceId): readonly string[] {
    return this.addresses.isPeer(to) ? this.client.routes(to) : []
  }

  /** A check through a relay was answered through it. The round trip of the relay used now, milliseconds. */
  relayAnswered(from: DeviceId, relay: string, roundTripMs: number): number | undefined {
    return this.addresses.isPeer(from) ? this.client.answered(from, relay, roundTripMs) : undefined
  }

  /** By which relay datagrams to the device go now; undefined where none is proved. */
  inUse(to: DeviceId): RelayInUse | undefined {
    return this.addresses.isPeer(to) ? this.client.inUse(to) : undefined
  }

  /** Names of relays by which the device may be reached now, the best first. */
  names(to: DeviceId): readonly string[] {
    return this.addresses.isPeer(to) ? this.client.names(to) : []
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    for (const timer of this.#closing ?? []) timer.cancel()
    this.#attached[Symbol.dispose]()
    this.client.stop()
  }
}
