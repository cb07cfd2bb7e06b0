/** Relay frames on a libp2p stream: never waits, drops what the stream cannot take. */
import { setImmediate } from 'node:timers'
import type { Stream } from '@libp2p/interface'
import type { RelayFrame } from '../../protocol/relay.ts'
import type { HubPipe } from '../../protocol/relay-hub-port.ts'
import { relayPipe } from '../../protocol/relay-pipe.ts'
import { RelayQueue, relayReader } from '../../protocol/relay-queue.ts'

export interface RelayStream {
  /** Takes an encoded frame. False when it was dropped: the stream is full or has ended. */
  send(frame: Uint8Array): boolean
  isOpen(): boolean
}

export interface RelayStreamOptions {
  /** May throw MalformedError, which ends the stream. */
  onFrame(frame: RelayFrame): void
  /** Once, however the stream ends. `error` when the other broke the framing. */
  onEnd(error?: Error): void
}

/** Takes over a stream that has just been got: nothing else may read or write it. */
export function startRelayStream(stream: Stream, options: RelayStreamOptions): RelayStream {
  const pipe = pipeOf(stream)
  const queue = new RelayQueue(pipe)
  readRelayStream(stream, {
    read: relayReader(options.onFrame),
    drained: () => queue.drained(),
    onEnd: options.onEnd,
  })
  return { isOpen: pipe.isOpen, send: (frame) => queue.send(frame) }
}

/** Hands what the stream brings to `read`, which throws where it is broken: then the stream is aborted. */
export function readRelayStream(
  stream: Stream,
  options: {
    read(arrived: Uint8Array): void
    drained(): void
    onEnd(error?: Error): void
  },
): void {
  let fault: Error | undefined
  stream.addEventListener('drain', () => options.drained())
  stream.addEventListener('close', () => options.onEnd(fault))
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('relay stream ended')))
  stream.addEventListener('message', ({ data }) => {
    try {
      options.read(data instanceof Uint8Array ? data : data.subarray())
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error))
      stream.abort(fault)
    }
  })
}

export function pipeOf(stream: Stream): HubPipe {
  return relayPipe(stream, (task) => void setImmediate(task))
}
