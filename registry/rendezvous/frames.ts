/** Frame channels over libp2p streams: an unsigned varint length before each frame. */
import { setImmediate } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { MalformedError } from '../../protocol/errors.ts'
import type { FrameChannel } from '../../protocol/frame-channel.ts'

/** Bytes that may wait to be read; yamux slows a faster sender down before that. */
const READ_BUFFER_BYTES = 4 * 1024 * 1024

const FAULTS_OF_THE_OTHER = new Set([
  'InvalidDataLengthError',
  'InvalidDataLengthLengthError',
  'InvalidMessageLengthError',
])

/** A length out of bounds is the other's fault; all else is the network's, an end inside a frame too. */
function translate(error: unknown): never {
  if (error instanceof Error && FAULTS_OF_THE_OTHER.has(error.name)) {
    throw new MalformedError(`frame: ${error.message}`, { cause: error })
  }
  throw error
}

/** Attach in the same turn as the stream is got, or what arrives is lost.
 *  @param onBytes told of every frame's length; may throw to end the exchange */
export function frameChannel(
  stream: Stream,
  maxFrameBytes: number,
  signal: AbortSignal,
  onBytes: (count: number) => void = () => undefined,
): FrameChannel {
  const frames = lpStream(stream, {
    maxDataLength: maxFrameBytes,
    maxBufferSize: READ_BUFFER_BYTES,
  })
  return {
    read: async () => {
      const frame = (await frames.read({ signal }).catch(translate)).subarray()
      onBytes(frame.length)
      // Frames that wait already would else be worked off in one turn that lets nothing else run.
      await setImmediate()
      return frame
    },
    write: async (frame) => {
      await frames.write(frame, { signal })
    },
  }
}
