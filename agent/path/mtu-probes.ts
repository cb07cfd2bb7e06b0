/** MTU probes: the shell around the path MTU machines of all peers. */
import {
  addressFamily,
  type Endpoint,
  type IpAddress,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { unreachable } from '../../protocol/errors.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { LEAST_IPV6_MTU } from '../host/routes.ts'
import type { TunnelPeerStats } from '../tunnel/backend.ts'
import { datagramBytes, largestPacket, usualMtu } from '../tunnel/mtu.ts'
import { type PathMtuAction, type PathMtuInput, stepPathMtu } from './path-mtu.ts'
import { initialPathMtu, type PathMtuState, pathMtuDueMs } from './path-mtu-state.ts'
import type { PathStatus } from './path-status.ts'

/** Questions to the kernel wait so long for others, milliseconds: a process answers all. */
const BUNCH_MS = 5
/** Of a direct path the round-trip time is not known sooner than its first answer. */
const DEFAULT_ROUND_TRIP_MS = 100

/** For people: IPv6 packets inside the tunnel can't be kept as small as the path is narrow. */
const BELOW_IPV6 =
  'IPv6 packets may have 1280 bytes: larger ones than the path carries go in pieces, if at all'

/** What MTU discovery needs of the host. */
export interface PathMtuHost {
  /** The interface's MTU, bytes. */
  ofInterface(): number
  /** The largest IP packet that leaves for each address in one piece, bytes; missing where none does.
   *  May reject. */
  readRouteMtus(addresses: readonly IpAddress[]): Promise<ReadonlyMap<IpAddress, number>>
  /** The MTU of some peer changed. */
  onChange(): void
}

export interface MtuProbesOptions extends PathMtuHost {
  readonly clock: Clock
  readonly log: Log
  /** @param bytes of the check's datagram; 0: not padded */
  send(device: DeviceId, to: Endpoint, bytes: number): void
}

export interface MtuProbes {
  /** The peer's path is this now. @param name of the peer, for logs */
  path(device: DeviceId, status: PathStatus, name: string): void
  /** A check that this sent was answered. */
  answered(device: DeviceId, from: Endpoint, bytes: number, roundTripMs: number): void
  seen(device: DeviceId, stats: TunnelPeerStats): void
  /** Paths may carry more now, or less. */
  networkChanged(): void
  /** The interface's MTU may be another. */
  interfaceChanged(): void
  forget(device: DeviceId): void
  /** Bytes of the largest packet to the peer. */
  mtu(device: DeviceId): number
  close(): void
}

interface Peer {
  readonly name: string
  state: PathMtuState
  /** The MTU that was last logged. */
  said: number
  timer: Cancellable | undefined
}

export function newMtuProbes(options: MtuProbesOptions): MtuProbes {
  return new Probes(options)
}

class Probes implements MtuProbes {
  readonly #options: MtuProbesOptions
  readonly #peers = new Map<DeviceId, Peer>()
  #asked: { address: IpAddress; tell: (outer: number | undefined) => void }[] = []
  #asking: Cancellable | undefined
  #isClosed = false

  constructor(options: MtuProbesOptions) {
    this.#options = options
  }

  path(device: DeviceId, status: PathStatus, name: string): void {
    const most = this.#options.ofInterface()
    const peer = this.#peers.get(device) ?? {
      name,
      state: initialPathMtu(most),
      said: usualMtu(most),
      timer: undefined,
    }
    this.#peers.set(device, peer)
    const isDirect = status.kind === 'direct'
    this.#give(device, {
      kind: 'path',
      endpoint: isDirect ? status.endpoint : undefined,
      roundTripMs:
        isDirect && Number.isFinite(status.roundTripMs)
          ? status.roundTripMs
          : DEFAULT_ROUND_TRIP_MS,
      most,
    })
  }

  /** The kernel is asked again: it may have cut the probe in two since it was sent. */
  answered(device: DeviceId, from: Endpoint, bytes: number, roundTripMs: number): void {
    if (bytes === 0) {
      if (this.#isInUse(device, from)) this.#give(device, { kind: 'check-answered', roundTripMs })
      return
    }
    this.#look(device, from, () =>
      this.#give(device, {
        kind: 'probe-answered',
        size: bytes - datagramBytes(0),
        roundTripMs,
      }),
    )
  }

  seen(device: DeviceId, { sentBytes, receivedBytes }: TunnelPeerStats): void {
    this.#give(device, { kind: 'counters', sent: sentBytes, received: receivedBytes })
  }

  networkChanged(): void {
    for (const device of this.#peers.keys()) this.#give(device, { kind: 'network-changed' })
  }

  interfaceChanged(): void {
    const most = this.#options.ofInterface()
    for (const [device, { state }] of this.#peers) {
      const { path, roundTripMs } = state
      if (state.most === most) continue
      this.#give(device, { kind: 'path', endpoint: path?.endpoint, roundTripMs, most })
    }
  }

  forget(device: DeviceId): void {
    this.#peers.get(device)?.timer?.cancel()
    this.#peers.delete(device)
  }

  mtu(device: DeviceId): number {
    const most = this.#options.ofInterface()
    const known = this.#peers.get(device)?.state.mtu ?? usualMtu(most)
    return Math.min(known, most)
  }

  close(): void {
    this.#isClosed = true
    this.#asking?.cancel()
    for (const device of [...this.#peers.keys()]) this.forget(device)
  }

  #isInUse(device: DeviceId, endpoint: Endpoint): boolean {
    return sameEndpoint(this.#peers.get(device)?.state.path?.endpoint, endpoint)
  }

  #give(device: DeviceId, input: PathMtuInput): void {
    const peer = this.#peers.get(device)
    if (peer === undefined || this.#isClosed) return
    const nowMs = this.#options.clock.monotonicMs()
    const before = peer.state
    const { state, actions } = stepPathMtu(before, input, nowMs)
    peer.state = state
    for (const action of actions) this.#act(device, action)
    this.#schedule(device, peer)
    this.#say(peer)
    if (state.mtu !== before.mtu) this.#options.onChange()
  }

  #act(device: DeviceId, action: PathMtuAction): void {
    switch (action.kind) {
      case 'look':
        this.#look(device, action.endpoint, () => undefined)
        break
      case 'send-probe':
        this.#options.send(device, action.endpoint, datagramBytes(action.size))
        break
      case 'send-check':
        this.#options.send(device, action.endpoint, 0)
        break
      default:
        unreachable(action)
    }
  }

  /** Gives what the kernel knows of the path, then calls `then`; neither where the path is no more in use. */
  #look(device: DeviceId, { address, port }: Endpoint, then: () => void): void {
    const done = (outer: number | undefined): void => {
      const peer = this.#peers.get(device)
      if (peer === undefined || !this.#isInUse(device, { address, port })) return
      const { most } = peer.state
      const maxPlpmtu =
        outer === undefined ? most : largestPacket(outer, addressFamily(address), most)
      this.#give(device, { kind: 'looked', maxPlpmtu })
      then()
    }
    this.#asked.push({ address, tell: done })
    this.#asking ??= this.#options.clock.after(BUNCH_MS, () => void this.#ask())
  }

  async #ask(): Promise<void> {
    const asked = this.#asked
    this.#asked = []
    this.#asking = undefined
    let found: ReadonlyMap<IpAddress, number> = new Map()
    try {
      found = await this.#options.readRouteMtus(asked.map(({ address }) => address))
    } catch (error) {
      this.#options.log('debug', 'path.mtu-unknown', { reason: explain(error) })
    }
    for (const { address, tell } of asked) tell(found.get(address))
  }

  #schedule(device: DeviceId, peer: Peer): void {
    const { clock } = this.#options
    peer.timer?.cancel()
    const dueMs = pathMtuDueMs(peer.state)
    if (!Number.isFinite(dueMs)) return
    const waitMs = Math.max(1, Math.ceil(dueMs - clock.monotonicMs()))
    peer.timer = clock.after(waitMs, () => this.#give(device, { kind: 'tick' }))
  }

  /** What a direct path carries, where it is another size than was said last. */
  #say(peer: Peer): void {
    const { name, said, state } = peer
    if (state.path === undefined || state.mtu === said) return
    peer.said = state.mtu
    this.#options.log('info', 'peer.mtu-changed', {
      peer: name,
      mtu: state.mtu,
      before: said,
      address: state.path.endpoint.address,
      ...(state.mtu < LEAST_IPV6_MTU ? { hint: BELOW_IPV6 } : {}),
    })
  }
}
