/** Port mapping: what a gateway lets in for us, in words that PCP, NAT-PMP and UPnP share. */
import type { Endpoint } from '../../../protocol/address.ts'
import type { Seconds } from '../../../protocol/time.ts'

/** The preferred first: what it tells of its lifetime, its owner and its own restarts. */
export const MAPPING_PROTOCOLS = ['pcp', 'nat-pmp', 'upnp'] as const
export type MappingProtocol = (typeof MAPPING_PROTOCOLS)[number]

/** UPnP's door: a service of the gateway, and where it is asked. */
export interface UpnpService {
  readonly type: string
  readonly controlUrl: URL
}

export interface PortMapping {
  readonly protocol: MappingProtocol
  readonly external: Endpoint
  /** As granted. */
  readonly lifetime: Seconds
  /** How long the gateway has had its state (RFC 6887 §8.5, RFC 6886 §3.6); UPnP does not say. */
  readonly epoch?: Seconds
  readonly service?: UpnpService
}

/** Why there is no mapping by a protocol. `silent`: nobody answered; `refused`: the gateway said no, or what
 *  makes no sense. */
export interface Failure {
  readonly protocol: MappingProtocol
  readonly kind: 'silent' | 'refused'
  readonly reason: string
}

export type Attempt =
  | { readonly kind: 'mapped'; readonly mapping: PortMapping }
  | { readonly kind: 'failed'; readonly failure: Failure }

export function failed(
  protocol: MappingProtocol,
  kind: Failure['kind'],
  reason: string,
): Attempt & { readonly kind: 'failed' } {
  return { kind: 'failed', failure: { protocol, kind, reason } }
}
