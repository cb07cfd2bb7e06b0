/** A host of the virtual internet: the agent's own path finding (agent/path) over simulated sockets, a WireGuard
 *  without cryptography, and a mesh that meets in one place. It pings its peer, and counts the answers. */
import {
  type PathSockets,
  type PathStatus,
  type Paths,
  startPaths,
} from '../../../agent/path/paths.ts'
import type { RelayCarrier } from '../../../agent/path/relay-carrier.ts'
import type { AgreementKeyPair } from '../../../crypto/agreement.ts'
import {
  type Endpoint,
  formatEndpoint,
  type IpAddress,
  parseIpAddress,
} from '../../../protocol/address.ts'
import type { Cancellable } from '../../../protocol/clock.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { isStun } from '../../../protocol/stun.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { Attachment, Datagram, Internet, Site } from './internet.ts'
import type { Meeting, Member } from './meeting.ts'
import { VirtualWireguard } from './virtual-wireguard.ts'

const LISTEN_PORT = 51_820
const LOOPBACK = parseIpAddress('127.0.0.1')
export const PING_MS = 200
const REDIRECTED_MS = 3000
const [ECHO, REPLY] = [1, 2]

export interface Identity {
  readonly name: string
  readonly device: DeviceId
  readonly keys: AgreementKeyPair
}

export interface HostOptions {
  readonly self: Identity
  readonly peer: Identity
  readonly site: Site
  readonly address: IpAddress
  readonly stunServer: Endpoint
  readonly clock: VirtualClock
  readonly random: () => number
  readonly internet: Internet
  readonly meeting: Meeting
}

export interface PathChange {
  readonly atMs: number
  /** `direct 198.18.2.2:51820`, `relay`, `connecting`, `idle`, `offline` */
  readonly path: string
}

export class VirtualHost implements Attachment, Member {
  readonly site: Site
  readonly delayMs: number
  address: IpAddress
  /** WireGuard's datagrams do not pass the direct path, checks do. */
  isWireguardSwallowed = false
  /** Moments at which pings of this host were answered, the ping's own. */
  readonly answeredMs: number[] = []
  readonly changes: PathChange[] = []
  readonly #options: HostOptions
  readonly #carriers = new Map<number, (datagram: Uint8Array) => void>()
  readonly #redirected = new Map<string, { endpoint: Endpoint; untilMs: number }>()
  #onCheck: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  #wireguard: VirtualWireguard | undefined
  #paths: Paths | undefined
  #pinging: Cancellable | undefined
  #peerCandidates: readonly Candidate[] = []
  #ports = 40_000

  constructor(options: HostOptions) {
    this.#options = options
    this.site = options.site
    this.address = options.address
    this.delayMs = options.site.link.delayMs
  }

  get name(): string {
    return this.#options.self.name
  }

  get path(): string {
    return textOf(this.#paths?.status(this.#options.peer.device) ?? { kind: 'offline' })
  }

  async start(): Promise<void> {
    const { clock, internet, meeting, peer } = this.#options
    internet.attach(this)
    this.#wireguard = new VirtualWireguard(
      clock,
      this.name,
      (bytes, to) => this.#emitted(bytes, to),
      (_from, payload) => this.#ponged(payload),
    )
    this.#paths = await startPaths(this.#pathsOptions(this.#wireguard), this.#sockets())
    this.#wireguard.add(peer.keys.publicKey, peer.name, this.#paths.endpointFor(peer.device))
    this.#setPeer()
    meeting.join(this)
    this.#pinging = clock.every(PING_MS, () => this.#ping())
  }

  async stop(): Promise<void> {
    const { internet, meeting } = this.#options
    internet.detach(this)
    meeting.leave(this.name)
    this.#pinging?.cancel()
    const paths = this.#paths
    this.#paths = undefined
    await paths?.[Symbol.asyncDispose]()
    this.#wireguard?.close()
  }

  /** Another address on its own network, which the host sees at once and the mesh a little later. */
  move(address: IpAddress): void {
    this.address = address
    this.networkChanged()
  }

  networkChanged(): void {
    this.#options.meeting.reconnect(this.name)
    this.#paths?.networkChanged()
  }

  receive({ bytes, from, to }: Datagram): void {
    if (to.port !== LISTEN_PORT) return
    if (isStun(bytes)) this.#onCheck?.(bytes, from)
    else this.#wireguard?.receive(bytes, from)
  }

  isSwallowed({ bytes }: Datagram): boolean {
    return this.isWireguardSwallowed && !isStun(bytes)
  }

  relayed(_from: string, bytes: Uint8Array): void {
    this.#paths?.receiveDatagram(this.#options.peer.device, bytes)
  }

  punched(_from: string, candidates: readonly Candidate[]): void {
    this.#paths?.punched(this.#options.peer.device, candidates)
  }

  updated(_from: string, candidates: readonly Candidate[]): void {
    this.#peerCandidates = candidates
    this.#setPeer()
  }

  changed(): void {
    this.#paths?.relaysChanged()
  }

  #setPeer(): void {
    const { device, name, keys } = this.#options.peer
    const peer = { device, name, wireguardKey: keys.publicKey, candidates: this.#peerCandidates }
    this.#paths?.setPeers([peer])
  }

  #pathsOptions(tunnel: VirtualWireguard): Parameters<typeof startPaths>[0] {
    const { self, peer, clock, random, meeting, stunServer } = this.#options
    return {
      device: self.device,
      wireguardKey: self.keys,
      listenPort: LISTEN_PORT,
      checkPort: LISTEN_PORT + 1,
      tunnel,
      sendDatagram: (_to, bytes) => meeting.relay(self.name, peer.name, bytes),
      sendPunch: (_to, candidates) => meeting.punch(self.name, peer.name, candidates),
      stunServers: () => [stunServer],
      hostAddresses: () => [this.address],
      onLocalCandidates: (candidates) => meeting.update(self.name, candidates),
      onPathChanged: (_device, status) =>
        this.changes.push({ atMs: clock.monotonicMs(), path: textOf(status) }),
      clock,
      redirected: {
        redirect: async (others, endpoint) => {
          const untilMs = clock.monotonicMs() + REDIRECTED_MS
          this.#redirected.delete(formatEndpoint(endpoint))
          for (const other of others) {
            this.#redirected.set(formatEndpoint(other), { endpoint, untilMs })
          }
        },
      },
      random: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
      log: () => undefined,
    }
  }

  #sockets(): PathSockets {
    return {
      openCheckSocket: async ({ onDatagram }) => {
        this.#onCheck = onDatagram
        return {
          send: (bytes, to) => {
            this.#toInternet(bytes, to)
            return true
          },
          close: async () => {
            this.#onCheck = undefined
          },
        }
      },
      openRelayCarrier: ({ onDatagram }): RelayCarrier => {
        const port = this.#ports++
        this.#carriers.set(port, onDatagram)
        const endpoint = { address: LOOPBACK, port }
        return {
          endpoint,
          endpointOf: (family) => (family === 4 ? endpoint : undefined),
          inject: (bytes) => {
            const { clock } = this.#options
            clock.after(0, () => this.#wireguard?.receive(bytes, endpoint))
            return true
          },
          close: () => void this.#carriers.delete(port),
        }
      },
      // No NAT here turns a packet back to where it came from.
      openProbeSocket: async () => ({ send: () => undefined, close: () => undefined }),
    }
  }

  /** What WireGuard sends: to a loopback socket of the agent's, or to the network. */
  #emitted(bytes: Uint8Array, to: Endpoint): void {
    const other = this.#redirected.get(formatEndpoint(to))
    const isRedirected = other !== undefined && other.untilMs > this.#options.clock.monotonicMs()
    if (to.address !== LOOPBACK) this.#toInternet(bytes, isRedirected ? other.endpoint : to)
    else this.#options.clock.after(0, () => this.#carriers.get(to.port)?.(bytes))
  }

  #toInternet(bytes: Uint8Array, to: Endpoint): void {
    const from = { address: this.address, port: LISTEN_PORT }
    this.#options.internet.send(this, { from, to, bytes })
  }

  #ping(): void {
    this.#give(ECHO, this.#options.clock.monotonicMs())
  }

  #ponged(payload: Uint8Array): void {
    const sentMs = new DataView(payload.buffer, payload.byteOffset).getFloat64(1, true)
    if (payload[0] === ECHO) this.#give(REPLY, sentMs)
    else this.answeredMs.push(sentMs)
  }

  #give(kind: number, sentMs: number): void {
    const payload = new Uint8Array(64)
    payload[0] = kind
    new DataView(payload.buffer).setFloat64(1, sentMs, true)
    this.#wireguard?.give(this.#options.peer.keys.publicKey, payload)
  }
}

function textOf(status: PathStatus): string {
  return status.kind === 'direct' ? `direct ${formatEndpoint(status.endpoint)}` : status.kind
}
