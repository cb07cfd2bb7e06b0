/** TCP queries: messages behind their lengths on one connection (RFC 7766 §8), answered one after another. */
import type { Socket } from 'node:net'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { QUERY_BYTES } from './message.ts'
import type { Responder } from './server.ts'

/** Milliseconds without a query until the connection ends (RFC 7766 §6.2.3: a few seconds). */
const IDLE_MS = 10_000
/** Queries of one connection. */
const QUERIES = 256

/** Ends the connection at what is no query: nothing after it could be found. */
export function serveTcp(socket: Socket, respond: Responder, clock: Clock): void {
  let waiting: Cancellable | undefined
  const wait = (): void => {
    waiting?.cancel()
    waiting = clock.after(IDLE_MS, () => socket.destroy())
  }
  wait()
  socket.on('error', () => {})
  socket.on('close', () => waiting?.cancel())
  void answerAll(socket, respond, wait).finally(() => socket.destroy())
}

async function answerAll(socket: Socket, respond: Responder, wait: () => void): Promise<void> {
  let pending: Buffer = Buffer.alloc(0)
  let count = 0
  try {
    for await (const chunk of socket) {
      pending = Buffer.concat([pending, chunk])
      for (;;) {
        const length = pending.length < 2 ? 0 : pending.readUInt16BE(0)
        if (pending.length >= 2 && (length < 12 || length > QUERY_BYTES)) return
        if (pending.length < 2 + length || length === 0) break
        const answer = await respond(pending.subarray(2, 2 + length), 'tcp')
        pending = pending.subarray(2 + length)
        count += 1
        if (answer === undefined || count > QUERIES || socket.destroyed) return
        wait()
        if (!socket.write(framed(answer))) await drained(socket)
      }
    }
  } catch (error) {
    // The other end has gone.
    if (!(error instanceof Error && 'code' in error)) throw error
  }
}

export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', () => resolve())
  })
}
