/** Opened: waits until a connection is open, and not for ever. */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../protocol/clock.ts'

/** Milliseconds. */
const DIAL_TIMEOUT_MS = 10_000

/** Rejects with what the connection fails with, or with ETIMEDOUT; then the connection is destroyed. */
export async function opened<Connection extends Duplex>(
  connection: Connection,
  clock: Clock,
): Promise<Connection> {
  const limit = new AbortController()
  const timer = clock.after(DIAL_TIMEOUT_MS, () => limit.abort())
  try {
    await once(connection, 'connect', { signal: limit.signal })
    return connection
  } catch (error) {
    connection.on('error', () => {}).destroy()
    if (!limit.signal.aborted) throw error
    throw Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' })
  } finally {
    timer.cancel()
  }
}
