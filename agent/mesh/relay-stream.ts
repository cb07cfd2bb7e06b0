/** Relay frames on a libp2p stream: never waits, drops what the stream cannot take. */
import { setImmediate } from 'node:timers'
import type { Stream } from '@libp2p/interface'
import type { RelayFrame } from '../../protocol/relay.ts'
import { RelayQueue, relayReader } from '../../protocol/relay-queue.ts'
import type { RelayPort } from '../../protocol/relay-switchboard.ts'

export interface RelayStream extends RelayPort {
  /** False when the frame was dropped: the stream is full or has ended. */
  send(frame: Uint8Array): boolean
  isOpen(): boolean
}

export interface RelayStreamOptions {
  onFrame(frame: RelayFrame): void
  /** Once, however the stream ends. `error` when the other broke the framing. */
  onEnd(error?: Error): void
}

/** Takes over a stream that has just been got: nothing else may read or write it. */
export function startRelayStream(stream: Stream, options: RelayStreamOptions): RelayStream {
  let fault: Error | undefined
  const isOpen = (): boolean => stream.status === 'open' && stream.writeStatus === 'writable'
  const soon = (task: () => void): void => void setImmediate(task)
  const queue = new RelayQueue({ isOpen, send: (bytes) => stream.send(bytes), soon })
  const read = relayReader(options.onFrame)
  stream.addEventListener('drain', () => queue.drained())
  stream.addEventListener('close', () => options.onEnd(fault))
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('relay stream ended')))
  stream.addEventListener('message', ({ data }) => {
    try {
      read(data instanceof Uint8Array ? data : data.subarray())
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error))
      stream.abort(fault)
    }
  })
  return { isOpen, send: (frame) => queue.send(frame) }
}
