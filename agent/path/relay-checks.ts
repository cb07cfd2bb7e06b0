/** Relay checks: each goes through one relay and is answered through the same, so that the round trip through
 *  that relay to that very peer is known (SPEC §12.6). */
import type { DeviceId } from '../../protocol/keys.ts'
import type { CheckPath, Checks } from './checks.ts'

/** What the mesh knows of relays, and hears of the checks through them. */
export interface RelayRoutes {
  /** Ids of the relays through which the device is to be checked. */
  relayRoutes(to: DeviceId): readonly string[]
  /** The round trip of the relay used now, milliseconds; undefined where it is not known. */
  relayAnswered(from: DeviceId, relay: string, roundTripMs: number): number | undefined
}

/** As a path of checks. */
export function relayPath(relay: string | undefined): CheckPath {
  return relay === undefined ? 'relay' : `relay ${relay}`
}

/** The relay's id; undefined of one that has no name. */
export function relayOfPath(path: CheckPath): string | undefined {
  return typeof path === 'string' && path.startsWith('relay ') ? path.slice(6) : undefined
}

/** Checks the peer through each relay that is worth it, or through whichever takes it where none is known.
 *  False where no relay took one. */
export function sendRelayChecks(
  checks: Checks,
  device: DeviceId,
  {
    routes,
    send,
    nowMs,
  }: {
    readonly routes: RelayRoutes | undefined
    send(to: DeviceId, datagram: Uint8Array, relay?: string): boolean
    readonly nowMs: number
  },
): boolean {
  const relays = routes?.relayRoutes(device) ?? []
  const sent = (relays.length === 0 ? [undefined] : relays).filter((relay) => {
    const request = checks.request(device, relayPath(relay), nowMs)
    return request !== undefined && send(device, request, relay)
  })
  return sent.length > 0
}
