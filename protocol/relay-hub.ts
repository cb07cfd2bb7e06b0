/** Relay hub: a relay whole, apart from streams and sockets (SPEC §12). Members of an organization join by a
 *  stream each, or are attached by UDP alone; what they send to one another is passed on, within bounds, by either. */
import type { Clock } from './clock.ts'
import type { RelayAddress, RelayFrame } from './relay.ts'
import { isAttachRequest } from './relay-attach.ts'
import { AttachedPort } from './relay-attached-port.ts'
import { type Attached, type AttachingOptions, RelayAttaching } from './relay-attaching.ts'
import { relayedKind } from './relay-datagram.ts'
import { type Excess, RelayExcess } from './relay-excess.ts'
import { BANNED_MS, type HubPipe, HubPort } from './relay-hub-port.ts'
import { RelayMeter, type RelayRate } from './relay-meter.ts'
import { type BoardPort, RelaySwitchboard } from './relay-switchboard.ts'
import { isRelayDatagram, sessionOf } from './relay-udp.ts'
import type { UdpRoute } from './relay-udp-session.ts'

/** Streams of one member, of one organization, and in all. A member has one or two: the one in use and
 *  its successor; of more the oldest is ended, which may have died without a word. */
export const MEMBER_STREAMS = 4
export const ORGANIZATION_STREAMS = 8192
export const STREAMS = 20_000
/** Milliseconds for which a stream is not read whose member sent too much: then it is the sender's own
 *  queue that is full. */
const PAUSE_MS = 50
const NOTHING = new Uint8Array(0)

/** The relay has as many streams as it takes; the message says of what. */
export class RelayFullError extends Error {
  override readonly name = 'RelayFullError'
  readonly code = 'ERR_RELAY_FULL'
}

/** Who has joined. */
export interface HubMember {
  /** Frames stay inside it. */
  readonly organization: string
  readonly address: RelayAddress
}

export interface HubOptions<M extends HubMember> {
  readonly rate: RelayRate
  /** Pass on what is for others, at this moment? */
  forOthers(): boolean
  /** This device itself, where it is a member. */
  readonly own?: { readonly address: RelayAddress; deliver(from: M, datagram: Uint8Array): void }
  /** Who this relay is to members that attach. */
  readonly attaching: Omit<AttachingOptions<M>, 'random'>
  /** A member is reached by UDP alone, or is so no more. */
  onAttached?(port: BoardPort<M>): void
  onDetached?(port: BoardPort<M>): void
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'after'>
  random(length: number): Uint8Array
  /** At most once a minute for each member and reason. */
  onExcess(member: M, excess: Excess): void
}

interface Board<M extends HubMember> {
  readonly switchboard: RelaySwitchboard<BoardPort<M>>
  readonly meter: RelayMeter<RelayAddress>
  streams: number
}

export class RelayHub<M extends HubMember> {
  readonly #options: HubOptions<M>
  readonly #boards = new Map<string, Board<M>>()
  readonly #total: RelayMeter<string>
  readonly #sessions = new Map<string, BoardPort<M>>()
  readonly #attaching: RelayAttaching<M>
  /** The one of each member that is attached. */
  readonly #attached = new Map<string, AttachedPort<M>>()
  /** Members that sent too much by one. */
  readonly #banned = new Set<string>()
  readonly #excess: RelayExcess<M>
  #streams = 0
  #udpPort: number | undefined

  constructor(options: HubOptions<M>) {
    this.#options = options
    this.#total = new RelayMeter({ total: options.rate.total, member: options.rate.total })
    this.#excess = new RelayExcess(options.onExcess)
    this.#attaching = new RelayAttaching({ ...options.attaching, random: options.random })
  }

  /** From now on members are offered UDP at this port. */
  offerUdp(port: number): void {
    this.#udpPort = port
    for (const { switchboard } of this.#boards.values()) {
      for (const each of switchboard.all()) this.#offer(each)
    }
  }

  /** Throws RelayFullError. The port's `receive` takes what the stream brings; `leave` when it has ended. */
  join(member: M, pipe: HubPipe): HubPort<M> {
    const board = this.#boardOf(member.organization)
    const ports = board.switchboard.of(member.address)
    if (ports.length >= MEMBER_STREAMS) this.#end(ports[0])
    this.#assertRoom(board)
    const port = new HubPort(member, pipe, {
      clock: this.#options.clock,
      random: this.#options.random,
      onFrame: (frame, way) => this.#received(board, port, frame, way),
      onSession: (from, to) => this.#session(port, from, to),
      onSurplusPing: (bytes) => this.#drop(port, bytes, 'pings'),
    })
    const attached = this.#attached.get(nameOf(port))
    this.#add(board, port)
    if (attached !== undefined) this.#detach(attached)
    this.#offer(port)
    return port
  }

  #add(board: Board<M>, port: BoardPort<M>): void {
    const { organization, address } = port.member
    this.#boards.set(organization, board)
    board.switchboard.attach(address, port)
    board.streams += 1
    this.#streams += 1
  }

  leave(port: BoardPort<M>): void {
    const { organization, address } = port.member
    const board = this.#boards.get(organization)
    if (board?.switchboard.of(address).includes(port) === true) port.close()
    this.#remove(port)
    // What it had before goes on.
    const attached = this.#attached.get(nameOf(port))
    if (attached !== undefined && attached !== port) this.#reach(attached)
  }

  #remove(port: BoardPort<M>): void {
    const { organization, address } = port.member
    const board = this.#boards.get(organization)
    if (board?.switchboard.of(address).includes(port) !== true) return
    board.switchboard.detach(address, port)
    board.streams -= 1
    this.#streams -= 1
    if (board.streams === 0) this.#boards.delete(organization)
  }

  #end(port: BoardPort<M> | undefined): void {
    if (port === undefined) return
    this.leave(port)
    port.end()
  }

  /** A datagram of the UDP port that is no STUN. Whatever is not authentic gets no answer. */
  receiveUdp(bytes: Uint8Array, route: UdpRoute): void {
    if (isAttachRequest(bytes)) this.#attachRequested(bytes, route)
    else if (isRelayDatagram(bytes, 'to-relay'))
      this.#sessions.get(sessionOf(bytes))?.receiveUdp(bytes, route)
  }

  #attachRequested(bytes: Uint8Array, route: UdpRoute): void {
    if (this.#udpPort === undefined || !this.#options.forOthers()) return
    const { clock } = this.#options
    const attached = this.#attaching.received(bytes, clock.nowMs(), clock.monotonicMs())
    if (attached === undefined || this.#banned.has(nameOf(attached))) return
    const board = this.#boardOf(attached.member.organization)
    if (board.streams >= ORGANIZATION_STREAMS || this.#streams >= STREAMS) return
    this.#attach(attached, route)
    route.send(attached.answer)
  }

  /** It counts from its first datagram on. */
  #attach(attached: Attached<M>, asked: UdpRoute): void {
    const { organization } = attached.member
    const { clock, random } = this.#options
    const port: AttachedPort<M> = new AttachedPort(attached, {
      ...{ clock, random, asked },
      onFrame: (frame) => this.#received(this.#boardOf(organization), port, frame, 'udp'),
      onClaimed: () => this.#claimed(port),
      onSurplusPing: (length) => this.#drop(port, length, 'pings'),
      onBanned: () => {
        this.#banned.add(nameOf(port))
        clock.after(BANNED_MS, () => this.#banned.delete(nameOf(port)))
      },
      onEnd: () => {
        this.#sessions.delete(port.session)
        if (this.#attached.get(nameOf(port)) === port) this.#attached.delete(nameOf(port))
        this.#detach(port)
      },
    })
    this.#sessions.set(port.session, port)
  }

  /** Of one member the newest alone. Streams that it has had are dead, most likely, for it would use them. */
  #claimed(port: AttachedPort<M>): void {
    this.#attached.get(nameOf(port))?.end()
    this.#attached.set(nameOf(port), port)
    this.#reach(port)
  }

  /** By it from now on, unless a stream has come since it was answered. */
  #reach(port: AttachedPort<M>): void {
    const board = this.#boardOf(port.member.organization)
    const newest = board.switchboard.of(port.member.address).at(-1)
    if (newest === port || (newest !== undefined && newest.sinceMs > port.sinceMs)) return
    this.#add(board, port)
    this.#options.onAttached?.(port)
  }

  /** What it sends is passed on as long as it lasts. */
  #detach(port: AttachedPort<M>): void {
    this.#remove(port)
    this.#options.onDetached?.(port)
  }

  /** Ends the sessions of members that have no stream, whose ends end theirs. */
  close(): void {
    for (const port of [...this.#sessions.values()]) if (port instanceof AttachedPort) port.end()
  }

  /** UDP sessions open now. */
  get sessions(): number {
    return this.#sessions.size
  }

  #boardOf(organization: string): Board<M> {
    return (
      this.#boards.get(organization) ?? {
        switchboard: new RelaySwitchboard(),
        meter: new RelayMeter(this.#options.rate),
        streams: 0,
      }
    )
  }

  #assertRoom({ streams }: Board<M>): void {
    const full = (of: string, limit: number) =>
      new RelayFullError(`relay: ${of} has ${limit} streams, the limit`)
    if (streams >= ORGANIZATION_STREAMS) throw full('the organization', ORGANIZATION_STREAMS)
    if (this.#streams >= STREAMS) throw full('it', STREAMS)
  }

  #offer(port: BoardPort<M>): void {
    if (this.#udpPort !== undefined && this.#options.forOthers()) port.offerUdp(this.#udpPort)
  }

  #session(port: HubPort<M>, from: string | undefined, to: string | undefined): void {
    if (from !== undefined) this.#sessions.delete(from)
    if (to !== undefined) this.#sessions.set(to, port)
  }

  #received(board: Board<M>, port: BoardPort<M>, frame: RelayFrame, way: 'udp' | 'stream'): void {
    const { own, forOthers } = this.#options
    const { member } = port
    if (frame.datagram.length === 0) return
    if (frame.peer === own?.address) own.deliver(member, frame.datagram)
    else if (!forOthers()) port.send({ peer: frame.peer, datagram: NOTHING })
    else if (relayedKind(frame.datagram) === undefined)
      this.#drop(port, frame.datagram.length, 'not-wireguard')
    else if (this.#isWithinRate(board, member, frame)) {
      board.switchboard.forward(member.address, frame)
    } else {
      this.#drop(port, frame.datagram.length, 'over-rate')
      if (way === 'stream') port.pause(PAUSE_MS)
      else port.refused(frame.datagram.length, this.#options.rate.member)
    }
  }

  #isWithinRate(
    { meter }: Board<M>,
    { address, organization }: M,
    { datagram }: RelayFrame,
  ): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    return (
      meter.take(address, datagram.length, nowMs) &&
      this.#total.take(organization, datagram.length, nowMs)
    )
  }

  #drop({ member }: BoardPort<M>, bytes: number, reason: Excess['reason']): void {
    this.#excess.count(member, reason, bytes, this.#options.clock.monotonicMs())
  }
}

function nameOf({ member }: { readonly member: HubMember }): string {
  return `${member.organization} ${member.address}`
}
