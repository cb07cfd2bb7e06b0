/** WireGuard's view of one peer as an input of its path machine. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { TunnelPeerStats } from '../tunnel/backend.ts'
import type { PathInput } from './machine.ts'

type TunnelInput = PathInput & { readonly kind: 'tunnel' }

/** Undefined where nothing changed since the last call. @param loopback the agent's socket for the peer */
export function newStatsInput(
  clock: Clock,
  loopback: Endpoint,
): (stats: TunnelPeerStats) => TunnelInput | undefined {
  let last: TunnelPeerStats | undefined
  let handshakeMs = -Infinity
  return (stats) => {
    const isHandshakeNew = stats.latestHandshake !== (last?.latestHandshake ?? 0)
    if (last !== undefined && !isHandshakeNew && isSame(stats, last)) return undefined
    last = stats
    // WireGuard tells whole seconds of the wall's clock: taken over once, when they change.
    if (isHandshakeNew) handshakeMs = momentOf(stats.latestHandshake, clock)
    const { receivedBytes, sentBytes } = stats
    const endpoint = sameEndpoint(stats.endpoint, loopback) ? undefined : stats.endpoint
    return { kind: 'tunnel', handshakeMs, receivedBytes, sentBytes, endpoint }
  }
}

function isSame(a: TunnelPeerStats, b: TunnelPeerStats): boolean {
  return (
    a.receivedBytes === b.receivedBytes &&
    a.sentBytes === b.sentBytes &&
    sameEndpoint(a.endpoint, b.endpoint)
  )
}

function momentOf(handshake: Seconds, clock: Clock): number {
  if (handshake === 0) return -Infinity
  return clock.monotonicMs() - Math.max(0, clock.now() - handshake) * 1000
}
