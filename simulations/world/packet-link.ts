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
}

/** One direction. */
export function newPacketLink(
  options: PacketLinkOptions,
  onPacket: (packet: Uint8Array) => void,
): PacketLink {
  const { clock, random, delayMs = 0, rate, queue = 90, loss = 0, disorder = 0 } = options
  let isCut = false
  let freeMs = 0
  const arrive = (packet: Uint8Array, afterMs: number) =>
    void clock.after(afterMs, () => {
      if (!isCut) onPacket(packet)
    })
  const link: PacketLink = {
    sent: 0,
    lost: 0,
    cut: (value) => {
      isCut = value
    },
    send: (packet) => {
      link.sent += 1
      const nowMs = clock.monotonicMs()
      const packetMs = rate === undefined ? 0 : (packet.length * 8000) / rate
      const startMs = Math.max(nowMs, freeMs)
      if (isCut || random() < loss || startMs - nowMs > queue * packetMs) {
        link.lost += 1
        return
      }
      freeMs = startMs + packetMs
      const late = random() < disorder ? random() * (options.disorderMs ?? 5) : 0
      arrive(packet, freeMs - nowMs + delayMs + late)
      if (random() < (options.duplicates ?? 0)) arrive(packet, freeMs - nowMs + delayMs + late)
    },
  }
  return link
}
