/** Frame channels over libp2p streams: an unsigned varint length before each frame. */
import { setImmediate } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { type FrameChannel, throwReadFailure } from '../../protocol/frame-channel.ts'

/** Frames of the largest size that may wait to be read: in most protocols one is sent each way. */
const WAITING = 4
/** Of the length before a frame, at most. */
const LENGTH_BYTES = 4

/** Attach in the same turn as the stream is got, or what arrives is lost.
 *  @param options.waiting frames of the largest size that may wait to be read; the other side is not slowed down by a
 *    slow reader, and more end the stream
 *  @param options.onBytes told of every frame's length; may throw to end the exchange */
export function frameChannel(
  stream: Stream,
  maxFrameBytes: number,
  signal: AbortSignal,
  {
    waiting = WAITING,
    onBytes,
  }: { readonly waiting?: number; readonly onBytes?: (count: number) => void } = {},
): FrameChannel {
  const frames = lpStream(stream, {
    maxDataLength: maxFrameBytes,
    maxBufferSize: waiting * (maxFrameBytes + LENGTH_BYTES),
  })
  return {
    read: async () => {
      const frame = (await frames.read({ signal }).catch(throwReadFailure)).subarray()
      onBytes?.(frame.length)
      // Frames that wait already would else be worked off in one turn that lets nothing else run.
      await setImmediate()
      return frame
    },
    write: async (frame) => {
      await frames.write(frame, { signal })
    },
  }
}
