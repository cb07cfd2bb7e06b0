/** What the mesh does for paths, on the virtual internet: relayed datagrams, punches and endpoint updates between
 *  hosts, over streams to one public member that come and go with a host's addresses. */
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import type { VirtualClock } from '../virtual-clock.ts'

export interface Member {
  readonly name: string
  /** To the meeting place, one way, milliseconds. */
  readonly delayMs: number
  relayed(from: string, bytes: Uint8Array): void
  punched(from: string, candidates: readonly Candidate[]): void
  updated(from: string, candidates: readonly Candidate[]): void
  /** Its stream, or what it leads to, came or went. */
  changed(): void
}

/** Milliseconds until a stream that lost its address is there again: it must be missed, and dialled. */
const RECONNECT_MS = 700
/** A stream does not overtake itself, and a lost segment holds up what follows: milliseconds. */
const RETRANSMISSION_MS = 220

export class Meeting {
  /** Does it pass on WireGuard's datagrams? Statements and punches pass all the same. */
  relays = true
  readonly #clock: VirtualClock
  readonly #random: () => number
  readonly #loss: number
  readonly #members = new Map<string, Member>()
  readonly #connected = new Set<string>()
  readonly #updates = new Map<string, readonly Candidate[]>()
  readonly #busyMs = new Map<string, number>()
  /** Of each member's latest attempt to connect. */
  readonly #attempts = new Map<string, number>()

  constructor(clock: VirtualClock, random: () => number, loss: number) {
    this.#clock = clock
    this.#random = random
    this.#loss = loss
  }

  join(member: Member): void {
    this.#members.set(member.name, member)
    this.reconnect(member.name, 4 * member.delayMs)
  }

  leave(name: string): void {
    this.#members.delete(name)
    this.#drop(name)
  }

  /** The member's stream broke; it is dialled again. */
  reconnect(name: string, afterMs = RECONNECT_MS): void {
    this.#drop(name)
    const attempt = (this.#attempts.get(name) ?? 0) + 1
    this.#attempts.set(name, attempt)
    this.#clock.after(afterMs, () => {
      if (this.#attempts.get(name) === attempt && this.#members.has(name)) this.#connect(name)
    })
  }

  setRelays(relays: boolean): void {
    this.relays = relays
    for (const member of this.#members.values()) member.changed()
  }

  /** False: there is no way now. */
  relay(from: string, to: string, bytes: Uint8Array): boolean {
    if (!this.relays) return false
    return this.#pass(from, to, (member) => member.relayed(from, bytes))
  }

  punch(from: string, to: string, candidates: readonly Candidate[]): void {
    this.#pass(from, to, (member) => member.punched(from, candidates))
  }

  update(from: string, candidates: readonly Candidate[]): void {
    this.#updates.set(from, candidates)
    for (const to of this.#connected)
      if (to !== from) this.#pass(from, to, (member) => member.updated(from, candidates))
  }

  #connect(name: string): void {
    this.#connected.add(name)
    for (const from of this.#connected) {
      if (from !== name) this.#sync(from, name)
      if (from !== name) this.#sync(name, from)
    }
    for (const member of this.#members.values()) member.changed()
  }

  #sync(from: string, to: string): void {
    const candidates = this.#updates.get(from)
    if (candidates !== undefined) this.#pass(from, to, (member) => member.updated(from, candidates))
  }

  #drop(name: string): void {
    if (!this.#connected.delete(name)) return
    for (const member of this.#members.values()) member.changed()
  }

  #pass(from: string, to: string, task: (member: Member) => void): boolean {
    const [sender, receiver] = [this.#members.get(from), this.#members.get(to)]
    if (sender === undefined || receiver === undefined) return false
    if (!this.#connected.has(from) || !this.#connected.has(to)) return false
    const nowMs = this.#clock.monotonicMs()
    const lateMs = this.#random() < this.#loss ? RETRANSMISSION_MS : 0
    const dueMs = Math.max(
      nowMs + sender.delayMs + receiver.delayMs + lateMs,
      this.#busyMs.get(`${from} ${to}`) ?? 0,
    )
    this.#busyMs.set(`${from} ${to}`, dueMs)
    this.#clock.after(dueMs - nowMs, () => {
      if (this.#members.get(to) === receiver && this.#connected.has(to)) task(receiver)
    })
    return true
  }
}
