/** Two stacks on a simulated path, in virtual time: everything repeats by its seed. */
import { setImmediate as present } from 'node:timers/promises'
import { createStack, type Stack } from '../../agent/stack/stack.ts'
import { parseIpAddress } from '../../protocol/address.ts'
import { newPacketLink, type PacketLink, type PacketLinkOptions } from './packet-link.ts'
import { seededRandom, VirtualClock } from './virtual-clock.ts'

export const NEAR = { 4: parseIpAddress('100.64.0.1'), 6: parseIpAddress('fd00::1') } as const
export const RIVAL = { 4: parseIpAddress('100.64.0.3'), 6: parseIpAddress('fd00::3') } as const
export const FAR = { 4: parseIpAddress('100.64.0.2'), 6: parseIpAddress('fd00::2') } as const

export interface Pair extends Disposable {
  readonly clock: VirtualClock
  readonly near: Stack
  /** On near's side of the same path, with CUBIC. */
  readonly rival: Stack
  readonly far: Stack
  readonly out: PacketLink
  readonly back: PacketLink
  readonly logged: string[]
  /** Lets virtual time pass until it is so, or throws after so many milliseconds of it. */
  until(isSo: () => boolean, withinMs?: number): Promise<void>
  /** Waits for a promise while virtual time passes. */
  meanwhile<T>(work: Promise<T>, withinMs?: number): Promise<T>
}

export type PathOptions = Omit<PacketLinkOptions, 'clock' | 'random'> & {
  readonly seed?: number
  readonly mtu?: number
}

export function newPair({ seed = 1, mtu = 1420, ...path }: PathOptions = {}): Pair {
  const clock = new VirtualClock()
  const chance = seededRandom(seed)
  const random = (length: number) => Uint8Array.from({ length }, () => Math.floor(chance() * 256))
  const logged: string[] = []
  const stack = (
    addresses: typeof NEAR | typeof FAR | typeof RIVAL,
    link: () => PacketLink,
    congestionControl: 'bbr' | 'cubic' = 'bbr',
  ) =>
    createStack({
      congestionControl,
      addresses: [addresses[4], addresses[6]],
      mtu,
      onPacket: (packet) => link().send(packet),
      clock,
      random,
      log: (_level, event) => void logged.push(event),
      defer: (task) => void clock.after(0, task),
    })
  const near: Stack = stack(NEAR, () => out)
  const rival: Stack = stack(RIVAL, () => out, 'cubic')
  const far: Stack = stack(FAR, () => back)
  const options = { ...path, clock, random: chance }
  const out = newPacketLink(options, (packet) => far.write(packet))
  const back = newPacketLink(options, (packet) => {
    // Each takes what is for it.
    near.write(packet)
    rival.write(packet)
  })
  const until = async (isSo: () => boolean, withinMs = 600_000) => {
    const endMs = clock.monotonicMs() + withinMs
    while (!isSo()) {
      if (clock.monotonicMs() > endMs) throw new Error(`not so within ${withinMs} ms`)
      await clock.advance(10)
      await present()
    }
  }
  return {
    clock,
    near,
    rival,
    far,
    out,
    back,
    logged,
    until,
    meanwhile: async <T>(work: Promise<T>, withinMs?: number): Promise<T> => {
      let isDone = false
      const done = () => {
        isDone = true
      }
      work.then(done, done)
      await until(() => isDone, withinMs)
      return await work
    },
    [Symbol.dispose]: () => {
      near[Symbol.dispose]()
      rival[Symbol.dispose]()
      far[Symbol.dispose]()
    },
  }
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 8) * 7 + seed) & 0xff
  return bytes
}
