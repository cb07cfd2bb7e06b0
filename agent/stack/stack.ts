/** Stack: TCP/IP inside the process. IP packets in and out on one side; connections, datagrams and pings on the other.
 *  lwIP does the work (lwip/); this interface is ours, so that another stack could take its place. */
import { setImmediate } from 'node:timers'
import type { RandomBytes } from '../../crypto/random.ts'
import { addressFamily, type Endpoint, type IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { Engine } from './engine.ts'
import { OwnAddresses } from './own-addresses.ts'
import { Pings } from './pings.ts'
import { SocketError } from './socket-error.ts'
import type { TcpConnection } from './tcp-connection.ts'
import { type TcpListener, TcpTable } from './tcp-table.ts'
import { type UdpMessage, type UdpSocket, UdpSockets } from './udp-sockets.ts'

export interface StackOptions {
  /** Of this device in the mesh. */
  readonly addresses: readonly IpAddress[]
  /** Bytes of the largest packet. */
  readonly mtu: number
  /** An IP packet goes into the mesh; it is the taker's. */
  readonly onPacket: (packet: Uint8Array) => void
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
  /** How connections share a path with others; BBR where it says nothing. CUBIC is for comparison. */
  readonly congestionControl?: 'bbr' | 'cubic'
  /** Runs a task when the packets at hand have been read; so data that came in several becomes one chunk. */
  readonly defer?: (task: () => void) => void
}

export interface StackCounts {
  readonly connections: number
  readonly listeners: number
  readonly udpSockets: number
  readonly pings: number
  /** TCP control blocks of lwIP: in use, and in TIME_WAIT. */
  readonly active: number
  readonly waiting: number
  /** Bytes of lwIP's memory; it never shrinks. */
  readonly memoryBytes: number
}

export interface Stack extends Disposable {
  /** An IP packet came from the mesh; it is read before the call returns. What is no packet for us is dropped. */
  write(packet: Uint8Array): void
  /** Throws SocketError (EADDRINUSE, ENOBUFS). The handler sees to the connection's errors. */
  listenTcp(port: number, onConnection: (connection: TcpConnection) => void): TcpListener
  connectTcp(to: Endpoint): TcpConnection
  /** @param port 0: any
   *  @param onRefused where something was sent to, and nothing listens there. Throws SocketError (EADDRINUSE, ENOBUFS). */
  bindUdp(
    port: number,
    onMessage: (message: UdpMessage) => void,
    onRefused?: (remote: Endpoint) => void,
  ): UdpSocket
  /** Milliseconds of the round trip. Rejects with SocketError. */
  ping(address: IpAddress, timeoutMs?: number): Promise<number>
  addresses(): readonly IpAddress[]
  /** Connections from addresses that are no longer ours are reset. */
  setAddresses(addresses: readonly IpAddress[]): void
  setMtu(mtu: number): void
  counts(): StackCounts
}

/** Bytes: what every IPv6 link carries (RFC 8200), and what lwIP's packets may be. */
export const MTU_BOUNDS = { least: 1280, most: 9000 } as const
/** Bytes of data in an echo. */
const ECHO_BYTES = 56
const LONGEST_PACKET = 65_535

export function createStack(options: StackOptions): Stack {
  return new LwipStack(options)
}

class LwipStack implements Stack {
  readonly #onPacket: (packet: Uint8Array) => void
  readonly #defer: (task: () => void) => void
  readonly #addresses = new OwnAddresses()
  readonly #engine: Engine
  readonly #tcp: TcpTable
  readonly #udp: UdpSockets
  readonly #pings: Pings

  constructor({ addresses, onPacket, clock, random, defer, ...rest }: StackOptions) {
    this.#onPacket = onPacket
    this.#addresses.set(addresses)
    this.#engine = new Engine({ ...rest, mtu: bounded(rest.mtu), clock, random }, this.#events())
    this.#defer = defer ?? ((task) => void setImmediate(task))
    this.#tcp = new TcpTable(this.#engine, {
      addresses: this.#addresses,
      clock,
      defer: this.#defer,
    })
    this.#udp = new UdpSockets({
      send: (data, port, to, from) => this.#sendDatagram(data, port, to, from),
      refuse: (message, port) => this.#refuse(message, port),
    })
    const [high = 0, low = 0] = random(2)
    this.#pings = new Pings(clock, high * 256 + low, (to, id, sequence) =>
      this.#sendEcho(to, id, sequence),
    )
  }

  write(packet: Uint8Array): void {
    if (packet.length > LONGEST_PACKET || !this.#addresses.isDestinationOf(packet)) return
    if (this.#addresses.isSourceOf(packet)) return
    this.#receive(packet)
  }

  listenTcp(port: number, onConnection: (connection: TcpConnection) => void): TcpListener {
    return this.#tcp.listen(port, onConnection)
  }

  connectTcp(to: Endpoint): TcpConnection {
    return this.#tcp.connect(to)
  }

  bindUdp(
    port: number,
    onMessage: (message: UdpMessage) => void,
    onRefused?: (remote: Endpoint) => void,
  ): UdpSocket {
    return this.#udp.bind(port, onMessage, onRefused)
  }

  ping(address: IpAddress, timeoutMs?: number): Promise<number> {
    return this.#pings.ping(address, timeoutMs)
  }

  addresses(): readonly IpAddress[] {
    return this.#addresses.list()
  }

  setAddresses(addresses: readonly IpAddress[]): void {
    this.#addresses.set(addresses)
    this.#tcp.leave((address) => this.#addresses.has(address))
  }

  setMtu(mtu: number): void {
    this.#engine.setMtu(bounded(mtu))
  }

  counts(): StackCounts {
    const none = { active: 0, waiting: 0, memoryBytes: 0 }
    return {
      connections: this.#tcp.size,
      listeners: this.#tcp.listeners,
      udpSockets: this.#udp.size,
      pings: this.#pings.size,
      ...this.#engine.run(
        (module) => ({
          active: module.count_active(),
          waiting: module.count_waiting(),
          memoryBytes: module.memoryBytes(),
        }),
        none,
      ),
    }
  }

  [Symbol.dispose](): void {
    this.#tcp.dispose()
    this.#pings.dispose()
    this.#engine.dispose()
  }

  #events(): ConstructorParameters<typeof Engine>[1] {
    return {
      output: (packet) => this.#output(packet),
      accepts: (port) => this.#tcp.accepts(port),
      listens: (port) => this.#udp.has(port),
      accepted: (handle, port) => this.#tcp.accepted(handle, port),
      connected: (handle) => this.#tcp.opened(handle),
      received: (handle, data) => this.#tcp.received(handle, data),
      ended: (handle) => this.#tcp.ended(handle),
      sent: (handle) => this.#tcp.sent(handle),
      failed: (handle, failure) => this.#tcp.failed(handle, failure),
      datagram: (datagram) => this.#udp.deliver(datagram),
      refused: (endpoints) => this.#udp.refused(endpoints),
      echoed: (from, id, sequence) => this.#pings.answered(from, id, sequence),
      restarted: () => this.#tcp.restarted(),
    }
  }

  #receive(packet: Uint8Array): void {
    this.#engine.run((module) => module.receive(packet), undefined)
  }

  /** What this device says to itself stays here. */
  #output(packet: Uint8Array): void {
    if (this.#addresses.isDestinationOf(packet)) this.#defer(() => this.#receive(packet))
    else this.#onPacket(packet)
  }

  #from(to: IpAddress, wanted?: IpAddress): IpAddress {
    const from = wanted ?? this.#addresses.first(addressFamily(to))
    if (from !== undefined && this.#addresses.has(from)) return from
    throw new SocketError('send', 'EADDRNOTAVAIL', wanted ?? to)
  }

  #sendDatagram(data: Uint8Array, port: number, to: Endpoint, wanted?: IpAddress): void {
    const local = this.#from(to.address, wanted)
    const most = LONGEST_PACKET - 8 - (addressFamily(local) === 4 ? 20 : 40)
    if (data.length > most) throw new SocketError('send', 'EMSGSIZE', to)
    this.#engine.run((module) => {
      module.putEndpoints({ local, localPort: port, remote: to.address, remotePort: to.port })
      module.put(data, 0)
      return module.send_datagram(data.length)
    }, 0)
  }

  #refuse({ data, local, remote }: UdpMessage, localPort: number): void {
    if (!this.#addresses.has(local) || !this.#engine.maySendRefusal()) return
    this.#engine.run((module) => {
      module.putEndpoints({ local, localPort, remote: remote.address, remotePort: remote.port })
      return module.send_refusal(data.length)
    }, 0)
  }

  #sendEcho(to: IpAddress, id: number, sequence: number): void {
    const endpoints = { local: this.#from(to), localPort: 0, remote: to, remotePort: 0 }
    this.#engine.run((module) => {
      module.putEndpoints(endpoints)
      return module.send_echo(id, sequence, ECHO_BYTES)
    }, 0)
  }
}

function bounded(mtu: number): number {
  return Math.max(MTU_BOUNDS.least, Math.min(MTU_BOUNDS.most, Math.floor(mtu)))
}
