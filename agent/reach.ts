/** Reach: whether a server answers over TCP, how fast, and what its clock says. */
import { connect } from 'node:net'
import type { Clock } from '../protocol/clock.ts'

/** Milliseconds. */
const TIMEOUT_MS = 3000

export interface Reached {
  readonly reachable: boolean
  readonly roundTripMs?: number
}

/** Where a TCP multiaddr leads; undefined for one through a relay, or of another transport. */
export function tcpOf(multiaddr: string): { host: string; port: number } | undefined {
  const match = /^\/(?:ip[46]|dns[46]?)\/([^/]+)\/tcp\/(\d{1,5})(?:\/p2p\/[^/]+)?$/.exec(multiaddr)
  if (match?.[1] === undefined) return undefined
  const port = Number(match[2])
  return port >= 1 && port <= 65535 ? { host: match[1], port } : undefined
}

/** Connects and hangs up: one round trip, and the look-up of a name. */
export function reachTcp(
  { host, port }: { readonly host: string; readonly port: number },
  clock: Pick<Clock, 'monotonicMs'>,
): Promise<Reached> {
  return new Promise((resolve) => {
    const begunMs = clock.monotonicMs()
    const socket = connect({ host, port, timeout: TIMEOUT_MS })
    const end = (reached: Reached): void => {
      socket.destroy()
      resolve(reached)
    }
    socket.once('connect', () =>
      end({ reachable: true, roundTripMs: clock.monotonicMs() - begunMs }),
    )
    socket.once('timeout', () => end({ reachable: false }))
    socket.once('error', () => end({ reachable: false }))
  })
}

/** @returns also by how many seconds the registry's clock is ahead of ours, if it says the time */
export async function reachRegistry(
  url: string,
  clock: Pick<Clock, 'monotonicMs' | 'nowMs'>,
): Promise<Reached & { readonly ahead?: number }> {
  const begunMs = clock.monotonicMs()
  try {
    const response = await fetch(new URL('v1/info', url.endsWith('/') ? url : `${url}/`), {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    })
    await response.body?.cancel()
    const roundTripMs = clock.monotonicMs() - begunMs
    const theirs = Date.parse(response.headers.get('date') ?? '')
    const ours = clock.nowMs() - roundTripMs / 2
    return {
      ...{ reachable: true, roundTripMs },
      // The header counts whole seconds.
      ...(Number.isNaN(theirs) ? {} : { ahead: Math.round((theirs + 500 - ours) / 1000) }),
    }
  } catch {
    return { reachable: false }
  }
}
