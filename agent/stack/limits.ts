/** Limits of the stack: what all that others send can make it keep. */
export const STACK_LIMITS = {
  /** TCP connections, half-open ones included; the module's table has 5,120 with those in TIME_WAIT. */
  connections: 4096,
  /** Of them of one peer. */
  connectionsOfPeer: 2048,
  /** Connections that have sent no more than their SYN; those are kept for 20 s. */
  halfOpen: 2048,
  /** Of them of one peer: a thousand at once are served, a flood leaves room for the others. */
  halfOpenOfPeer: 1024,
  /** Ports listened on. */
  listeners: 1024,
  /** UDP ports in use: a flow outward takes one. */
  udpSockets: 16_384,
  /** Echoes waited for. */
  pings: 256,
  /** ICMP errors in a second: a scan of ports gets no answer to each packet. */
  refusals: { burst: 100, perSecond: 100 },
  /** Bytes of all receive windows, and of all that waits to be sent. */
  memory: 64 * 1024 * 1024,
  /** Bytes of the receive window of one connection, at most. */
  window: 4 * 1024 * 1024,
} as const

/** What a connection may have as long as nothing was measured, by how many there are: bytes in flight, and of the
 *  first receive window. */
export function firstShares(connections: number): { inFlight: number; window: number } {
  const share = STACK_LIMITS.memory / 2 / Math.max(1, connections)
  return {
    inFlight: Math.max(8 * 1024, Math.min(96 * 1024, share)),
    window: Math.max(16 * 1024, Math.min(65_535, share)),
  }
}
