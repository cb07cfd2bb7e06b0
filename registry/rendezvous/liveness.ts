/** Liveness: a connection whose other end has gone silent is closed, one that is busy is not. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { Link, Links } from './links.ts'

const PING_MS = 10_000
/** Unanswered pings in a row that end a connection. */
const MISSES = 3

interface Pinging {
  /** yamux's own ping (its specification, type 2): 12 bytes, no stream. */
  readonly muxer: { ping(options: { signal: AbortSignal }): Promise<number> }
}

export function startLiveness(links: Links, clock: Clock, log: Log): { stop(): void } {
  const misses = new Map<string, number>()
  links.onDown(({ connection }) => misses.delete(connection.id))
  const missed = (link: Link): void => {
    const { id } = link.connection
    if (links.of(link.connection) === undefined) return
    const count = (misses.get(id) ?? 0) + 1
    misses.set(id, count)
    if (count < MISSES) return
    log('info', 'rendezvous.device-silent', { device: link.device, name: link.name })
    link.connection.abort(new Error('no answer to pings'))
  }
  const timer = clock.every(PING_MS, () => {
    for (const link of links.all()) {
      ping(link).then(
        () => misses.delete(link.connection.id),
        () => missed(link),
      )
    }
  })
  return { stop: () => timer.cancel() }
}

async function ping({ connection }: Link): Promise<void> {
  const { muxer } = connection as unknown as Pinging
  await muxer.ping({ signal: AbortSignal.timeout(PING_MS) })
}
