/** Route advertisement: a device's claim on one prefix (SPEC §6.2). */
import type { Prefix } from './address.ts'
import { type Claims, integer, text } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { validity } from './endpoint-update.ts'
import { prefixItem } from './issuer-certificate.ts'
import { HIGHEST_EPOCH, ROUTE_ADVERTISEMENT_LIFETIME } from './limits.ts'
import type { Seconds } from './time.ts'

/** Order is the wire's, never reused. */
export const ROUTE_STATES = ['withdrawn', 'active', 'draining'] as const
export type RouteState = (typeof ROUTE_STATES)[number]

export interface RouteAdvertisement {
  /** Grows with every statement of this device about this prefix; the newest wins. */
  readonly sequence: number
  readonly issuedAt: Seconds
  readonly notAfter: Seconds
  readonly prefix: Prefix
  /** Orders claims of different devices on a host prefix: the highest wins, ties by device key. */
  readonly epoch: number
  /** Orders routers of a shorter prefix: the lowest wins, ties by device key. */
  readonly metric: number
  readonly state: RouteState
}

const NOT_AFTER = { key: 4, name: 'notAfter' }
const ISSUED_AT = { key: 6, name: 'issuedAt' }
const SEQUENCE = { key: -65537, name: 'sequence' }
const PREFIX = { key: -65538, name: 'prefix' }
const EPOCH = { key: -65539, name: 'epoch' }
const METRIC = { key: -65540, name: 'metric' }
const STATE = { key: -65541, name: 'state' }

export function encodeRouteAdvertisement(advertisement: RouteAdvertisement): CborMap {
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, advertisement.notAfter],
    [ISSUED_AT.key, advertisement.issuedAt],
    [SEQUENCE.key, advertisement.sequence],
    [PREFIX.key, advertisement.prefix],
    [EPOCH.key, advertisement.epoch],
    [METRIC.key, advertisement.metric],
    [STATE.key, ROUTE_STATES.indexOf(advertisement.state)],
  ])
}

/** Throws MalformedError. */
export function parseRouteAdvertisement(claims: Claims): RouteAdvertisement {
  return {
    sequence: integer(claims, SEQUENCE, 1, 2 ** 48),
    ...validity(claims, ROUTE_ADVERTISEMENT_LIFETIME),
    prefix: prefixItem(text(claims, PREFIX, 64)),
    epoch: integer(claims, EPOCH, 0, HIGHEST_EPOCH),
    metric: integer(claims, METRIC, 0, 2 ** 16),
    state: ROUTE_STATES[integer(claims, STATE, 0, ROUTE_STATES.length - 1)] ?? 'withdrawn',
  }
}
