/** The shell around the path machines of all peers: one check socket, one timer a peer, one look at
 *  WireGuard for all. */
import { equal, toHex } from '../../crypto/bytes.ts'
import type { Endpoint } from '../../protocol/address.ts'
import type { Cancellable } from '../../protocol/clock.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { type DeviceId, deviceKeyOf } from '../../protocol/keys.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { isStun } from '../../protocol/stun.ts'
import type { TunnelPeerStats } from '../tunnel/backend.ts'
import { newBucket } from './bucket.ts'
import { type LocalCandidates, startLocalCandidates } from './candidates.ts'
import { type CheckSocket, openCheckSocket } from './check-socket.ts'
import { type CheckPath, newChecks, type Received } from './checks.ts'
import { newDropCounter } from './drops.ts'
import type { PathInput } from './machine.ts'
import type { PathStatus } from './path-state.ts'
import type { PathPeer, Paths, PathsOptions } from './paths.ts'
import { type PathContext, PeerPath } from './peer-path.ts'
import { openRelayCarrier, type RelayCarrier } from './relay-carrier.ts'
import { relayOfPath, relayPath, sendRelayChecks } from './relay-checks.ts'
import { type Activity, startLooks, type TunnelLooks } from './tunnel-looks.ts'

/** Checks a second to all peers together, and the largest burst: 100 kB/s while a thousand start. */
const ALL_CHECKS_PER_SECOND = 800
/** Events of the network and of the mesh come in bunches; they are taken together, milliseconds. */
const BUNCH_MS = 20

/** Throws CheckPortError. */
export async function openPathsShell(options: PathsOptions): Promise<Paths> {
  const shell = new PathsShell(options)
  await shell.open()
  return shell
}

class PathsShell implements Paths {
  readonly #options: PathsOptions
  readonly #checks: ReturnType<typeof newChecks>
  readonly #pace = newBucket(ALL_CHECKS_PER_SECOND, ALL_CHECKS_PER_SECOND)
  readonly #drops: ReturnType<typeof newDropCounter>
  readonly #paths = new Map<DeviceId, PeerPath>()
  readonly #carriers = new Map<DeviceId, RelayCarrier>()
  readonly #bunches = new Map<string, Cancellable>()
  readonly #context: PathContext
  #socket: CheckSocket | undefined
  #local: LocalCandidates | undefined
  #looks: TunnelLooks | undefined

  constructor(options: PathsOptions) {
    this.#options = options
    this.#checks = newChecks(options)
    this.#drops = newDropCounter('path.checks-dropped', options.log)
    this.#context = {
      tunnel: options.tunnel,
      listenPort: options.listenPort,
      clock: options.clock,
      log: options.log,
      sendCheck: (peer, path) => this.#sendCheck(peer, path),
      sendDirect: (datagram, to) => void this.#socket?.send(datagram, to),
      sendRelayed: (peer, datagram) => options.sendDatagram(peer.device, datagram),
      sendPunch: (peer) => options.sendPunch(peer.device, this.#local?.current() ?? []),
      refreshMapping: () => this.#local?.askAgain(),
      lookSoon: (afterMs) => this.#looks?.soon(afterMs),
      onStatus: (peer, status) => options.onPathChanged(peer.device, status),
    }
  }

  async open(): Promise<void> {
    const options = this.#options
    this.#socket = await openCheckSocket({
      port: options.checkPort,
      onDatagram: (datagram, from) => this.#received(datagram, from),
      log: options.log,
    })
    this.#local = startLocalCandidates({
      listenPort: options.listenPort,
      hostAddresses: options.hostAddresses,
      stunServers: options.stunServers,
      overlayPrefixes: () => options.overlayPrefixes?.() ?? [],
      ask: (server) => this.#ask(server),
      onChange: (candidates, natMapping) => {
        options.onLocalCandidates(candidates, natMapping)
        this.#giveAll({ kind: 'local-candidates' })
      },
      clock: options.clock,
    })
    this.#looks = startLooks({
      tunnel: options.tunnel,
      clock: options.clock,
      log: options.log,
      activity: () => this.#activity(),
      onStats: (stats) => this.#looked(stats),
    })
  }

  setPeers(peers: readonly PathPeer[]): void {
    const wanted = new Map(peers.map((peer) => [peer.device, this.#usable(peer)]))
    for (const [device, path] of this.#paths) {
      const peer = wanted.get(device)
      if (peer === undefined || !equal(peer.wireguardKey, path.peer.wireguardKey)) {
        this.#forget(device, path)
      }
    }
    for (const device of this.#carriers.keys()) {
      if (!wanted.has(device)) this.#closeCarrier(device)
    }
    this.#checks.setPeers(new Map(peers.map((peer) => [peer.device, peer.wireguardKey])))
    for (const peer of wanted.values()) this.#update(peer)
  }

  #update(peer: PathPeer): void {
    const path = this.#paths.get(peer.device)
    if (path === undefined) {
      const initiates = toHex(deviceKeyOf(this.#options.device)) < toHex(deviceKeyOf(peer.device))
      const made = new PeerPath(this.#context, peer, this.#carrier(peer.device), initiates)
      this.#paths.set(peer.device, made)
      made.start()
    } else if (JSON.stringify(path.peer.candidates) !== JSON.stringify(peer.candidates)) {
      path.update(peer)
    }
  }

  /** Without candidates that lie inside the tunnel, or are this host itself. */
  #usable(peer: PathPeer): PathPeer {
    return { ...peer, candidates: this.#usableCandidates(peer.candidates) }
  }

  #usableCandidates(candidates: readonly Candidate[]): readonly Candidate[] {
    const local = this.#local
    return candidates
      .slice(0, CANDIDATES)
      .filter((one) => local === undefined || (local.isOutside(one.address) && !local.isOwn(one)))
  }

  #forget(device: DeviceId, path: PeerPath): void {
    this.#paths.delete(device)
    this.#carriers.delete(device)
    void path.close()
  }

  #carrier(device: DeviceId): RelayCarrier {
    const known = this.#carriers.get(device)
    if (known !== undefined) return known
    const made = openRelayCarrier({
      listenPort: this.#options.listenPort,
      log: this.#options.log,
      onDatagram: (datagram) => this.#paths.get(device)?.fromWireGuard(datagram),
    })
    this.#carriers.set(device, made)
    return made
  }

  #closeCarrier(device: DeviceId): void {
    this.#carriers.get(device)?.close()
    this.#carriers.delete(device)
  }

  receiveDatagram(from: DeviceId, datagram: Uint8Array, relay?: string): void {
    if (isStun(datagram)) this.#received(datagram, relayPath(relay), from)
    else this.#paths.get(from)?.fromRelay(datagram)
  }

  punched(from: DeviceId, candidates: readonly Candidate[]): void {
    this.#give(from, { kind: 'punched', candidates: this.#usableCandidates(candidates) })
  }

  networkChanged(): void {
    this.#bunched('network', () => {
      this.#local?.networkChanged()
      this.#giveAll({ kind: 'network-changed' })
    })
  }

  relaysChanged(device?: DeviceId): void {
    const input = { kind: 'relays-changed' } as const
    if (device !== undefined) this.#give(device, input)
    else
      this.#bunched('relays', () => {
        this.#local?.askNew()
        this.#giveAll(input)
      })
  }

  status(device: DeviceId): PathStatus {
    return this.#paths.get(device)?.status ?? { kind: 'offline' }
  }

  endpointFor(device: DeviceId): Endpoint {
    return this.#paths.get(device)?.endpoint ?? this.#carrier(device).endpoint
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const bunch of this.#bunches.values()) bunch.cancel()
    this.#local?.close()
    const paths = [...this.#paths.values()]
    this.#paths.clear()
    await Promise.all([this.#looks?.close(), ...paths.map((path) => path.close())])
    for (const { device } of paths.map(({ peer }) => peer)) this.#carriers.delete(device)
    for (const device of [...this.#carriers.keys()]) this.#closeCarrier(device)
    await this.#socket?.close()
    this.#socket = undefined
  }

  #bunched(name: string, task: () => void): void {
    if (this.#bunches.has(name)) return
    const timer = this.#options.clock.after(BUNCH_MS, () => {
      this.#bunches.delete(name)
      task()
    })
    this.#bunches.set(name, timer)
  }

  #give(device: DeviceId, input: PathInput): void {
    this.#paths.get(device)?.give(input)
  }

  #giveAll(input: PathInput): void {
    for (const path of this.#paths.values()) path.give(input)
  }

  #sendCheck({ device }: PathPeer, path: CheckPath): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    if (typeof path === 'string') {
      const { sendDatagram: send, relays } = this.#options
      return sendRelayChecks(this.#checks, device, { routes: relays?.(), send, nowMs })
    }
    if (!this.#pace.take(nowMs)) return false
    const request = this.#checks.request(device, path, nowMs)
    if (request === undefined) return false
    return this.#socket?.send(request, path) ?? false
  }

  #ask(server: Endpoint): void {
    this.#socket?.send(this.#checks.ask(server, this.#options.clock.monotonicMs()), server)
  }

  /** @param via the device that a relay says it is from: the answer goes there, nothing else is believed */
  #received(datagram: Uint8Array, from: CheckPath, via?: DeviceId): void {
    const nowMs = this.#options.clock.monotonicMs()
    const received = this.#checks.receive(datagram, from, nowMs)
    switch (received.kind) {
      case 'request':
        this.#requested(received, from, via)
        break
      case 'answer':
        this.#answered(received)
        break
      case 'mapped':
        this.#local?.observed(received.server, received.mapped)
        break
      case 'dropped':
        this.#drops.count(received.reason, nowMs)
        break
    }
  }

  #requested(
    { device, answer }: Received & { readonly kind: 'request' },
    from: CheckPath,
    via: DeviceId | undefined,
  ): void {
    if (typeof from === 'string') {
      this.#options.sendDatagram(via ?? device, answer, relayOfPath(from))
      this.#give(device, { kind: 'relay-check-received' })
      return
    }
    // Inside the tunnel a check proves nothing about its outside.
    if (this.#local?.isOutside(from.address) === false) return
    this.#socket?.send(answer, from)
    this.#give(device, { kind: 'check-received', endpoint: from })
  }

  #answered({ device, path, roundTripMs, mapped }: Received & { readonly kind: 'answer' }): void {
    if (typeof path === 'string') {
      const relay = relayOfPath(path)
      const used = relay && this.#options.relays?.()?.relayAnswered(device, relay, roundTripMs)
      this.#give(device, { kind: 'relay-check-answered', roundTripMs: used || roundTripMs })
      return
    }
    if (mapped !== undefined) this.#local?.observed(path, mapped)
    this.#give(device, { kind: 'check-answered', endpoint: path, roundTripMs })
  }

  #activity(): Activity {
    let most: Activity = 'idle'
    for (const { activity } of this.#paths.values()) {
      if (activity === 'busy') return activity
      if (activity === 'resting') most = activity
    }
    return most
  }

  #looked(stats: readonly TunnelPeerStats[]): void {
    const byKey = new Map(stats.map((one) => [toHex(one.publicKey), one]))
    for (const path of this.#paths.values()) {
      const found = byKey.get(toHex(path.peer.wireguardKey))
      if (found !== undefined) path.seen(found)
    }
  }
}
