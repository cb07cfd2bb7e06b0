/** Relay pipe: a libp2p stream as relay hubs and queues see it. */
import { orAbort } from './abort.ts'
import type { HubPipe } from './relay-hub-port.ts'

/** What is used of libp2p's Stream. */
export interface PipeStream {
  readonly status: string
  readonly writeStatus: string
  readonly writeBufferLength: number
  send(bytes: Uint8Array): boolean
  pause(): void
  resume(): void
  abort(cause: Error): void
}

/** @param soon runs a task at the end of this turn of the event loop */
export function relayPipe(stream: PipeStream, soon: (task: () => void) => void): HubPipe {
  return {
    isOpen: () => stream.status === 'open' && stream.writeStatus === 'writable',
    waiting: () => stream.writeBufferLength,
    // A stream whose connection closes can neither send nor say that it reads on, and throws.
    send: (bytes) => orAbort(stream, () => stream.send(bytes), false),
    soon,
    end: () => stream.abort(new Error('a newer relay stream takes its place')),
    pause: () => stream.pause(),
    // A stream that has ended meanwhile has nothing more to read.
    resume: () => {
      if (stream.status === 'open') orAbort(stream, () => stream.resume(), undefined)
    },
  }
}
