/** The shell around the path machines of all peers: one check socket, one timer a peer, one look at
 *  WireGuard for all. */
import { equal, toHex } from '../../crypto/bytes.ts'
import type { Endpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { type DeviceId, deviceKeyOf } from '../../protocol/keys.ts'
import type { Spray } from '../../protocol/punch.ts'
import { isStun } from '../../protocol/stun.ts'
import { type Bunches, newBunches } from './bunches.ts'
import { type LocalCandidates, startLocalCandidates } from './candidates.ts'
import { type CheckBudget, heldBackLog, newCheckBudget } from './check-budget.ts'
import { CheckIntake } from './check-intake.ts'
import { CheckRecord, type RecordedChecks } from './check-record.ts'
import type { CheckSocket } from './check-socket.ts'
import { type CheckPath, newChecks } from './checks.ts'
import { newLookTaker } from './look-taker.ts'
import type { PathInput } from './machine.ts'
import { type MtuProbes, newMtuProbes } from './mtu-probes.ts'
import { NatWatch, type PathNetcheck } from './nat/watch.ts'
import type { PathContext } from './path-context.ts'
import { noPathFacts, type PathFacts, pathFacts } from './path-evidence.ts'
import type { PathStatus } from './path-status.ts'
import type { PathPeer, PathSockets, Paths, PathsOptions } from './paths.ts'
import { PeerPath } from './peer-path.ts'
import { RelayCarriers } from './relay-carriers.ts'
import { relayPath, sendRelayChecks } from './relay-checks.ts'
import { newSprayer } from './spray/new-sprayer.ts'
import type { Sprayer } from './spray/sprayer.ts'
import { EAGER_PEERS } from './timing.ts'
import { mostActive, startLooks, type TunnelLooks } from './tunnel-looks.ts'
import { UsablePeers, usableCandidates } from './usable-peers.ts'

/** Throws CheckPortError. */
export async function openPathsShell(options: PathsOptions, sockets: PathSockets): Promise<Paths> {
  const shell = new PathsShell(options, sockets)
  await shell.open()
  return shell
}

class PathsShell implements Paths {
  readonly #options: PathsOptions
  readonly #sockets: PathSockets
  readonly #checks: RecordedChecks
  readonly #record = new CheckRecord()
  readonly #budget: CheckBudget
  readonly #intake: CheckIntake
  readonly #paths = new Map<DeviceId, PeerPath>()
  readonly #usable = new UsablePeers()
  readonly #carriers: RelayCarriers
  readonly #bunches: Bunches
  readonly #mtus: MtuProbes | undefined
  readonly #context: PathContext
  #socket: CheckSocket | undefined
  #local: LocalCandidates | undefined
  #looks: TunnelLooks | undefined
  #nat: NatWatch | undefined
  #sprayer: Sprayer | undefined

  constructor(options: PathsOptions, sockets: PathSockets) {
    this.#options = options
    this.#sockets = sockets
    this.#bunches = newBunches(options.clock)
    this.#checks = this.#record.watching(
      newChecks({
        ...options,
        receivedFrom: (device) => this.#paths.get(device)?.receivedBytes,
      }),
    )
    this.#carriers = new RelayCarriers(sockets.openRelayCarrier, options, (device, datagram) =>
      this.#paths.get(device)?.fromWireGuard(datagram),
    )
    this.#budget = newCheckBudget(
      heldBackLog(options.log, (device) => this.#paths.get(device)?.peer.name),
    )
    this.#intake = new CheckIntake({
      ...options,
      checks: this.#checks,
      budget: this.#budget,
      paths: this.#paths,
      send: (datagram, to) => void this.#socket?.send(datagram, to),
    })
    const send = (device: DeviceId, to: Endpoint, bytes: number): void =>
      void this.#sendCheck(device, to, bytes)
    this.#mtus = options.mtu && newMtuProbes({ ...options, ...options.mtu, send })
    this.#context = {
      ...options,
      sendCheck: ({ device }, path) => this.#sendCheck(device, path),
      sendDirect: ({ device }, datagram, to) => this.#sendDirect(device, datagram, to),
      sendRelayed: (peer, datagram) => options.sendDatagram(peer.device, datagram),
      sendPunch: (peer) => options.sendPunch(peer.device, this.#local?.current() ?? []),
      refreshMapping: () => this.#local?.askAgain(),
      lookSoon: (afterMs) => this.#looks?.soon(afterMs),
      onStatus: ({ device, name }, status) => {
        options.onPathChanged(device, status)
        this.#mtus?.path(device, status, name)
      },
      onSession: ({ device }) => options.onSession?.(device),
    }
  }

  async open(): Promise<void> {
    const options = this.#options
    this.#socket = await this.#sockets.openCheckSocket({
      port: options.checkPort,
      onDatagram: (datagram, from) => this.#received(datagram, from),
      onSent: (to) => this.#sprayer?.isProbing(to) || this.#local?.nat.sent(to),
      log: options.log,
    })
    this.#local = startLocalCandidates({
      ...options,
      overlayPrefixes: () => options.overlayPrefixes?.() ?? [],
      ask: (server) => this.#ask(server),
      onChange: (...known) => options.onLocalCandidates(...known),
      onCandidates: () => this.#giveAll({ kind: 'local-candidates' }),
    })
    this.#nat = new NatWatch({
      ...options,
      openProbeSocket: this.#sockets.openProbeSocket,
      local: this.#local,
      checks: this.#checks,
      peers: () => [...this.#paths.values()].map(({ peer }) => peer),
      send: (datagram, to) => void this.#socket?.send(datagram, to),
    })
    this.#sprayer = newSprayer(options, {
      checks: this.#checks,
      local: this.#local,
      paths: this.#paths,
      socket: this.#socket,
    })
    this.#looks = startLooks({
      ...options,
      activity: () => mostActive(this.#paths.values()),
      onStats: newLookTaker(this.#paths, {
        sent: (to) => this.#local?.nat.sent(to),
        counted: (device, found) => this.#mtus?.seen(device, found),
      }),
    })
  }

  setPeers(peers: readonly PathPeer[]): void {
    const wanted = this.#usable.of(peers, this.#local)
    for (const [device, path] of this.#paths) {
      const peer = wanted.get(device)
      if (peer === undefined || !equal(peer.wireguardKey, path.peer.wireguardKey)) {
        this.#forget(device, path)
      }
    }
    this.#carriers.keep((device) => wanted.has(device))
    this.#checks.setPeers(new Map(peers.map((peer) => [peer.device, peer.wireguardKey])))
    this.#nat?.peersKnown([...wanted.values()])
    this.#sprayer?.setPeers([...wanted.values()])
    const isEager = wanted.size <= EAGER_PEERS
    for (const peer of wanted.values()) this.#update(peer, isEager)
    this.#mtus?.interfaceChanged()
  }

  #update(peer: PathPeer, isEager: boolean): void {
    const path = this.#paths.get(peer.device)
    if (path === undefined) {
      const initiates = toHex(deviceKeyOf(this.#options.device)) < toHex(deviceKeyOf(peer.device))
      const made = new PeerPath(this.#context, peer, this.#carriers.of(peer.device), {
        initiates,
        isEager,
      })
      this.#paths.set(peer.device, made)
      made.start()
    } else if (isOtherPeer(path.peer, peer)) {
      path.update(peer)
    }
  }

  #forget(device: DeviceId, path: PeerPath): void {
    this.#paths.delete(device)
    this.#budget.forget(device)
    this.#carriers.forget(device)
    this.#mtus?.forget(device)
    void path.close()
  }

  receiveDatagram(from: DeviceId, datagram: Uint8Array, relay?: string): void {
    if (isStun(datagram)) this.#received(datagram, relayPath(relay), from)
    else this.#paths.get(from)?.fromRelay(datagram)
  }

  punched(from: DeviceId, candidates: readonly Candidate[], spray?: Spray): void {
    this.#give(from, { kind: 'punched', candidates: usableCandidates(candidates, this.#local) })
    if (spray !== undefined) this.#sprayer?.told(from, spray)
  }

  networkChanged(): void {
    this.#bunches.add('network', () => {
      this.#local?.networkChanged()
      this.#nat?.networkChanged()
      this.#mtus?.networkChanged()
      this.#giveAll({ kind: 'network-changed' })
    })
  }

  relaysChanged(device?: DeviceId): void {
    const input = { kind: 'relays-changed' } as const
    if (device !== undefined) this.#give(device, input)
    else
      this.#bunches.addPrompt('relays', () => {
        this.#local?.askNew()
        this.#giveAll(input)
      })
  }

  status(device: DeviceId): PathStatus {
    return this.#paths.get(device)?.status ?? { kind: 'offline' }
  }

  evidence(device: DeviceId): PathFacts {
    const state = this.#paths.get(device)?.state
    const nowMs = this.#options.clock.monotonicMs()
    if (state === undefined) return noPathFacts(this.#record.udp(nowMs))
    return pathFacts(device, state, this.#record, nowMs)
  }

  mtu(device: DeviceId): number | undefined {
    return this.#mtus?.mtu(device)
  }

  hasSession(device: DeviceId): boolean {
    return this.#paths.get(device)?.hasSession ?? false
  }

  endpointFor(device: DeviceId): Endpoint {
    return this.#paths.get(device)?.endpoint ?? this.#carriers.of(device).endpoint
  }

  netcheck(): PathNetcheck {
    if (this.#nat === undefined) throw new Error('the paths are not open')
    return this.#nat
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bunches.close()
    this.#mtus?.close()
    this.#local?.close()
    this.#nat?.close()
    this.#sprayer?.close()
    const paths = [...this.#paths.values()]
    this.#paths.clear()
    await Promise.all([this.#looks?.close(), ...paths.map((path) => path.close())])
    for (const { peer } of paths) this.#carriers.forget(peer.device)
    this.#carriers.keep(() => false)
    await this.#socket?.close()
    this.#socket = undefined
  }

  #give(device: DeviceId, input: PathInput): void {
    this.#paths.get(device)?.give(input)
  }

  #giveAll(input: PathInput): void {
    for (const path of this.#paths.values()) path.give(input)
  }

  #sendCheck(device: DeviceId, path: CheckPath, probed?: number): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    if (typeof path === 'string') {
      const { sendDatagram: send, relays } = this.#options
      return sendRelayChecks(this.#checks, device, { routes: relays?.(), send, nowMs })
    }
    if (!this.#budget.take(device, path, nowMs)) return false
    const request = this.#checks.request(device, path, nowMs, probed)
    if (request === undefined) return false
    return this.#socket?.send(request, path) ?? false
  }

  #sendDirect(device: DeviceId, datagram: Uint8Array, to: Endpoint): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (this.#budget.take(device, to, nowMs)) this.#socket?.send(datagram, to)
  }

  #ask(server: Endpoint): void {
    this.#socket?.send(this.#checks.ask(server, this.#options.clock.monotonicMs()), server)
  }

  #received(datagram: Uint8Array, from: CheckPath, via?: DeviceId): void {
    const [local, nat, mtus, sprayer] = [this.#local, this.#nat, this.#mtus, this.#sprayer]
    this.#intake.take({ datagram, from, via }, { local, nat, mtus, sprayer })
  }
}

function isOtherPeer(a: PathPeer, b: PathPeer): boolean {
  return a !== b && JSON.stringify(a.candidates) !== JSON.stringify(b.candidates)
}
