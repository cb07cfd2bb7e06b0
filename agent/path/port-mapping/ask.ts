/** Ask: what each protocol's client is given, and what a grant must hold to count. */

import { type Endpoint, formatEndpoint } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import type { Gateway } from '../../host/gateway.ts'
import { type Attempt, failed, type PortMapping } from './mapping.ts'

/** Seconds that are asked for. Less than the 7,200 of RFC 6886 §3.3: what a crash leaves is gone in 20
 *  minutes, and the renewals at half of it find out about a gateway that restarted and told nobody. */
export const LIFETIME = seconds(1200)
/** Seconds: a mapping that lasts less is renewed all the time, and is none. */
const SHORTEST_LIFETIME = 10
/** Seconds that a grant is believed: a day (RFC 6887 §15.1 advises no more). */
const LONGEST_LIFETIME = 86_400

export interface Ask {
  readonly gateway: Gateway
  readonly internalPort: number
  /** PCP's proof of ownership, 12 bytes, the same after a restart: else what a crash left could not be
   *  taken over. */
  readonly nonce: Uint8Array
  /** The external endpoint to keep. */
  readonly suggested?: Endpoint
  /** Milliseconds to wait after each transmission of a request. */
  readonly waitsMs: readonly number[]
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly signal: AbortSignal
}

/** The mapping, where the grant makes sense. */
export function granted(mapping: PortMapping): Attempt {
  const { protocol, external, lifetime } = mapping
  if (external.port === 0 || external.address === '0.0.0.0') {
    return failed(protocol, 'refused', `no external endpoint: ${formatEndpoint(external)}`)
  }
  if (lifetime < SHORTEST_LIFETIME) {
    const reason = `a lifetime of ${lifetime} s, want ${SHORTEST_LIFETIME} or more`
    return failed(protocol, 'refused', reason)
  }
  return {
    kind: 'mapped',
    mapping: { ...mapping, lifetime: seconds(Math.min(lifetime, LONGEST_LIFETIME)) as Seconds },
  }
}

/** What `parse` makes of a datagram; undefined where it is malformed. */
export function parsed<T>(parse: (bytes: Uint8Array) => T, bytes: Uint8Array): T | undefined {
  try {
    return parse(bytes)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
