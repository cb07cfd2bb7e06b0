/** Packet link: a path of IP packets between two stacks, with delay, rate, queue, losses, disorder and repetition. */
import type { Clock } from '../../protocol/clock.ts'

export interface PacketLinkOptions {
  /** Milliseconds one way. */
  readonly delayMs?: number
  /** Bits in a second; absent: no bound. */
  readonly rate?: number
  /** Packets that wait where the rate is bounded; what comes on top is lost. */
  readonly queue?: number
  /** Of all packets, 0 to 1. */
  readonly loss?: number
  readonly duplicates?: number
  /** Of all packets: those that arrive up to `disorderMs` later. */
  readonly disorder?: number
  readonly disorderMs?: number
  /** Milliseconds that a packet is late, at most, and with it those behind it. */
  readonly jitterMs?: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

export interface PacketLink {
  send(packet: Uint8Array): void
  /** Cuts it, or joins it again: what is sent over a cut link is lost. */
  cut(isCut: boolean): void
  sent: number
  lost: number
  /** May change while it is used. */
  rate: number | undefined
}

/** One direction. */
export function newPacketLink(
  options: PacketLinkOptions,
  onPacket: (packet: Uint8Array) => void,
): PacketLink {
  const { clock, random, delayMs = 0, queue = 90, loss = 0, disorder = 0 } = options
  const { jitterMs = 0 } = options
  let lastMs = 0
  let isCut = false
  let freeMs = 0
  /** On their way, in order: timers of a real clock that are due at nearly one time run in any. */
  const way: { readonly packet: Uint8Array; readonly dueMs: number }[] = []
  const arrive = (packet: Uint8Array) => {
    if (!isCut) onPacket(packet)
  }
  let isLooking = false
  const lookIn = (ms: number): void => {
    isLooking = true
    clock.after(ms, look)
  }
  const look = (): void => {
    isLooking = false
    for (let [first] = way; first !== undefined; [first] = way) {
      const leftMs = first.dueMs - clock.monotonicMs()
      if (leftMs > 0.001) {
        lookIn(leftMs)
        return
      }
      way.shift()
      arrive(first.packet)
    }
  }
  const depart = (packet: Uint8Array, afterMs: number, lateMs: number): void => {
    if (lateMs > 0) {
      clock.after(afterMs + lateMs, () => arrive(packet))
      return
    }
    const nowMs = clock.monotonicMs()
    lastMs = Math.max(lastMs, nowMs + afterMs + (jitterMs > 0 ? random() * jitterMs : 0))
    way.push({ packet, dueMs: lastMs })
    if (!isLooking) lookIn(lastMs - nowMs)
  }
  const link: PacketLink = {
    sent: 0,
    lost: 0,
    rate: options.rate,
    cut: (value) => {
      isCut = value
    },
    send: (packet) => {
      link.sent += 1
      const nowMs = clock.monotonicMs()
      const packetMs = link.rate === undefined ? 0 : (packet.length * 8000) / link.rate
      const startMs = Math.max(nowMs, freeMs)
      if (isCut || random() < loss || startMs - nowMs > queue * packetMs) {
        link.lost += 1
        return
      }
      freeMs = startMs + packetMs
      const late = random() < disorder ? random() * (options.disorderMs ?? 5) : 0
      depart(packet, freeMs - nowMs + delayMs, late)
      if (random() < (options.duplicates ?? 0)) depart(packet, freeMs - nowMs + delayMs, late)
    },
  }
  return link
}
