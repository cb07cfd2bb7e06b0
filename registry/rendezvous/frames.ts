/** Frame channels over libp2p streams: an unsigned varint length before each frame. */
import { setImmediate } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { type FrameChannel, throwReadFailure } from '../../protocol/frame-channel.ts'

/** Bytes that may wait to be read; yamux slows a faster sender down before that. */
const READ_BUFFER_BYTES = 4 * 1024 * 1024

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
      const frame = (await frames.read({ signal }).catch(throwReadFailure)).subarray()
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
