/** Answers that are written bit by bit, as fast as the client takes them. */
import { once } from 'node:events'
import type { Response } from 'express'
import type { Clock } from '../../protocol/clock.ts'

/** A client that takes nothing for so long is cut. Milliseconds. */
const STALLED_MS = 30_000

/** Resolves when the client has room for more, or is gone. */
export async function write(
  response: Response,
  clock: Pick<Clock, 'after'>,
  text: string,
): Promise<void> {
  if (response.destroyed || response.write(text)) return
  const cut = clock.after(STALLED_MS, () => response.destroy())
  const settled = new AbortController()
  const { signal } = settled
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  } finally {
    settled.abort()
    cut.cancel()
  }
}

/** Ends the answer after them; takes no more of them once the client is gone. */
export async function writeLines(
  response: Response,
  clock: Pick<Clock, 'after'>,
  lines: AsyncIterable<string>,
): Promise<void> {
  for await (const line of lines) {
    if (response.destroyed) return
    await write(response, clock, `${line}\n`)
  }
  response.end()
}
