/** Two frame channels joined end to end in memory; frames can be looked at and changed on their way. */
import type { FrameChannel } from '../../protocol/frame-channel.ts'

/** Undefined drops the frame and ends the channel. */
export type Tamper = (frame: Uint8Array, index: number) => Uint8Array | undefined

interface Pipe {
  readonly sent: Uint8Array[]
  write(frame: Uint8Array): void
  read(): Promise<Uint8Array>
}

function pipe(tamper: Tamper): Pipe {
  const waiting: PromiseWithResolvers<Uint8Array>[] = []
  const arrived: Uint8Array[] = []
  const sent: Uint8Array[] = []
  let ended = false
  return {
    sent,
    write: (frame) => {
      const passed = tamper(frame, sent.length)
      sent.push(frame)
      if (passed === undefined) ended = true
      const reader = waiting.shift()
      if (passed === undefined) reader?.reject(new Error('ended'))
      else if (reader !== undefined) reader.resolve(passed)
      else arrived.push(passed)
    },
    read: async () => {
      const frame = arrived.shift()
      if (frame !== undefined) return frame
      if (ended) throw new Error('ended')
      const reader = Promise.withResolvers<Uint8Array>()
      waiting.push(reader)
      return reader.promise
    },
  }
}

export interface FramePair {
  readonly a: FrameChannel
  readonly b: FrameChannel
  readonly sentByA: readonly Uint8Array[]
  readonly sentByB: readonly Uint8Array[]
}

export function framePair(onTheWayToB: Tamper = (frame) => frame): FramePair {
  const toB = pipe(onTheWayToB)
  const toA = pipe((frame) => frame)
  return {
    a: { read: toA.read, write: async (frame) => toB.write(frame) },
    b: { read: toB.read, write: async (frame) => toA.write(frame) },
    sentByA: toB.sent,
    sentByB: toA.sent,
  }
}
