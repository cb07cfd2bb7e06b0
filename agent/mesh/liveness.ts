/** Liveness: a connection whose other end has gone silent is closed, one that is busy is not. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { type Link, type Links, nameOfLink } from './links.ts'

const PING_MS = 10_000
/** Unanswered pings in a row that end a connection. */
const MISSES = 3
/** Milliseconds in which a link must answer when the network has changed. */
const PROMPT_MS = 2000

export interface Liveness {
  /** The network has changed: whoever does not answer now is gone. */
  check(): void
  stop(): void
}

interface Pinging {
  /** yamux's own ping (its specification, type 2): 12 bytes, no stream. */
  readonly muxer: { ping(options: { signal: AbortSignal }): Promise<number> }
}

export function startLiveness(links: Links, clock: Clock, log: Log): Liveness {
  const misses = new Map<string, number>()
  links.onDown(({ connection }) => misses.delete(connection.id))
  const end = (link: Link): void => {
    log('info', 'mesh.connection-silent', { name: nameOfLink(link), peer: link.peer })
    link.connection.abort(new Error('no answer to pings'))
  }
  const round = (timeoutMs: number, allowed: number): void => {
    for (const link of links.all()) {
      const { id } = link.connection
      ping(link, timeoutMs).then(
        () => misses.delete(id),
        () => {
          if (links.of(link.connection) === undefined) return
          misses.set(id, (misses.get(id) ?? 0) + 1)
          if ((misses.get(id) ?? 0) >= allowed) end(link)
        },
      )
    }
  }
  const timer = clock.every(PING_MS, () => round(PING_MS, MISSES))
  return { check: () => round(PROMPT_MS, 1), stop: () => timer.cancel() }
}

async function ping({ connection }: Link, timeoutMs: number): Promise<void> {
  const { muxer } = connection as unknown as Pinging
  await muxer.ping({ signal: AbortSignal.timeout(timeoutMs) })
}
