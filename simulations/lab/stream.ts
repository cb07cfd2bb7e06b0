/** A live TCP stream in the laboratory: both ends send numbers at a steady pace until it is ended, and say what became
 *  of what the other sent. */
import { z } from 'zod'
import { startLineProcess } from './line-process.ts'
import type { Namespace } from './namespace.ts'

export type StreamErrand =
  | { readonly kind: 'listen'; readonly port: number }
  | { readonly kind: 'open'; readonly address: string; readonly port: number }
  /** Sends no more; answered when the other end has said all, too. */
  | { readonly kind: 'stop' }
  /** Answered when the other end has stopped it. */
  | { readonly kind: 'ended' }

const STREAM_END = z.object({
  /** Numbers. */
  sent: z.number(),
  received: z.number(),
  /** Between two that came, milliseconds. */
  longestSilenceMs: z.number(),
  /** What came in another order, or how the connection failed. */
  fault: z.string().optional(),
})
/** What one end has to tell of a stream. */
export type StreamEnd = z.output<typeof STREAM_END>

export interface LiveStream extends Disposable {
  /** Of the end that opened it, and of the other. */
  end(): Promise<readonly [StreamEnd, StreamEnd]>
}

/** Resolves when it is open. Rejects where it can't be opened. */
export async function openStream(
  from: Namespace,
  to: { readonly at: Namespace; readonly address: string; readonly port: number },
): Promise<LiveStream> {
  const script = new URL('stream-process.ts', import.meta.url)
  const server = startLineProcess<StreamErrand>(to.at, script, 'the listening end')
  const client = startLineProcess<StreamErrand>(from, script, 'the opening end')
  const { address, port } = to
  const stream: LiveStream = {
    end: async () => {
      const told = await Promise.all([client.ask({ kind: 'stop' }), server.ask({ kind: 'ended' })])
      const [[own], [other]] = z.tuple([z.tuple([STREAM_END]), z.tuple([STREAM_END])]).parse(told)
      return [own, other]
    },
    [Symbol.dispose]: () => {
      client[Symbol.dispose]()
      server[Symbol.dispose]()
    },
  }
  try {
    await server.ask({ kind: 'listen', port })
    await client.ask({ kind: 'open', address, port })
    return stream
  } catch (error) {
    stream[Symbol.dispose]()
    throw error
  }
}
