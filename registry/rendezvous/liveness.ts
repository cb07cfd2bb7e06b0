/** Liveness: a connection whose other end has gone silent is closed, one that is busy is not. */
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { Link, Links } from './links.ts'

const PING_MS = 10_000
/** Looks in a row at which a ping is still unanswered that end a connection: 30 s. One ping is enough,
 *  for the connection below is reliable; yamux ends a connection on which an answer comes to no ping, so
 *  that none is ever given up. */
const MISSES = 3

interface Pinging {
  /** yamux's own ping (its specification, type 2): 12 bytes, no stream. */
  readonly muxer: { ping(): Promise<number> }
}

export function startLiveness(links: Links, clock: Clock, log: Log): { stop(): void } {
  /** Looks since the ping that is on its way, by connection. */
  const waiting = new Map<string, number>()
  links.onDown(({ connection }) => waiting.delete(connection.id))
  const look = (link: Link): void => {
    const { id } = link.connection
    const looks = waiting.get(id)
    if (looks === undefined) {
      waiting.set(id, 0)
      void answered(link).then(() => waiting.delete(id))
      return
    }
    waiting.set(id, looks + 1)
    if (looks + 1 < MISSES) return
    log('info', 'rendezvous.device-silent', { device: link.device, name: link.name })
    abortConnection(link.connection, new Error('no answer to pings'))
  }
  const timer = clock.every(PING_MS, () => {
    for (const link of links.all()) look(link)
  })
  return { stop: () => timer.cancel() }
}

/** Resolves with the answer, or the connection's end. */
async function answered({ connection }: Link): Promise<void> {
  const { muxer } = connection as unknown as Pinging
  await muxer.ping().catch(() => undefined)
}
