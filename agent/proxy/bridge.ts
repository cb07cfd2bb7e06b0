/** Bridge: joins two connections. Each direction ends on its own, each waits for its slower side, and what breaks one
 *  breaks the other. */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

export function bridge(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to)
    from.on('error', () => reset(to))
    from.on('close', () => {
      if (!from.readableEnded) reset(to)
    })
  }
}

/** Ends a connection at once; the other end learns that not all came through. */
export function reset(connection: Duplex): void {
  if (connection.destroyed) return
  if (connection instanceof Socket && !connection.connecting) connection.resetAndDestroy()
  else connection.destroy()
}
