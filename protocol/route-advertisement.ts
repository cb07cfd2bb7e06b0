/** Route advertisement: a device's claim on one prefix (SPEC §6.2). */
import type { Prefix } from './address.ts'
import { bytes, type Claims, type Field, integer, text } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { validity } from './endpoint-update.ts'
import { MalformedError } from './errors.ts'
import { prefixItem } from './issuer-certificate.ts'
import { type DeviceId, deviceIdOf, deviceKeyOf, parseKey } from './keys.ts'
import {
  HIGHEST_EPOCH,
  HIGHEST_PRIORITY,
  LONGEST_HAND_OVER_MS,
  PROBE_CHARACTERS,
  ROUTE_ADVERTISEMENT_LIFETIME,
} from './limits.ts'
import { formatRouteProbe, parseProbeOf, type RouteProbe } from './route-probe.ts'
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
  /** By which the users of the route see whether it works behind the router. */
  readonly probe?: RouteProbe
  /** Of a standby, which takes a host prefix over where its holder is not reached; the higher goes first. */
  readonly priority?: number
  /** Milliseconds: the holder before serves on, and others change to this one so long after they have heard of it. */
  readonly handOverMs?: number
  /** Whom the holder asks to take the prefix over. */
  readonly successor?: DeviceId
}

/** What a claim says beyond who holds the prefix: all of it optional. */
export type RouteExtras = Pick<
  RouteAdvertisement,
  'probe' | 'priority' | 'handOverMs' | 'successor'
>

const NOT_AFTER = { key: 4, name: 'notAfter' }
const ISSUED_AT = { key: 6, name: 'issuedAt' }
const SEQUENCE = { key: -65537, name: 'sequence' }
const PREFIX = { key: -65538, name: 'prefix' }
const EPOCH = { key: -65539, name: 'epoch' }
const METRIC = { key: -65540, name: 'metric' }
const STATE = { key: -65541, name: 'state' }
const PROBE = { key: -65542, name: 'probe' }
const PRIORITY = { key: -65543, name: 'priority' }
const HAND_OVER = { key: -65544, name: 'hand-over' }
const SUCCESSOR = { key: -65545, name: 'successor' }

export function encodeRouteAdvertisement(advertisement: RouteAdvertisement): CborMap {
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, advertisement.notAfter],
    [ISSUED_AT.key, advertisement.issuedAt],
    [SEQUENCE.key, advertisement.sequence],
    [PREFIX.key, advertisement.prefix],
    [EPOCH.key, advertisement.epoch],
    [METRIC.key, advertisement.metric],
    [STATE.key, ROUTE_STATES.indexOf(advertisement.state)],
    ...extraClaims(advertisement),
  ])
}

function extraClaims({
  probe,
  priority,
  handOverMs,
  successor,
}: RouteExtras): readonly [CborValue, CborValue][] {
  return [
    ...given(PROBE, probe && formatRouteProbe(probe)),
    ...given(PRIORITY, priority),
    ...given(HAND_OVER, handOverMs),
    ...given(SUCCESSOR, successor && deviceKeyOf(successor)),
  ]
}

function given({ key }: Field, value: CborValue | undefined): readonly [CborValue, CborValue][] {
  return value === undefined ? [] : [[key, value]]
}

/** Throws MalformedError. */
export function parseRouteAdvertisement(claims: Claims): RouteAdvertisement {
  const prefix = prefixItem(text(claims, PREFIX, 64))
  return {
    sequence: integer(claims, SEQUENCE, 1, 2 ** 48),
    ...validity(claims, ROUTE_ADVERTISEMENT_LIFETIME),
    prefix,
    epoch: integer(claims, EPOCH, 0, HIGHEST_EPOCH),
    metric: integer(claims, METRIC, 0, 2 ** 16),
    state: ROUTE_STATES[integer(claims, STATE, 0, ROUTE_STATES.length - 1)] ?? 'withdrawn',
    ...extras(claims, prefix),
  }
}

function extras(claims: Claims, prefix: Prefix): RouteExtras {
  const has = ({ key }: Field): boolean => claims.map.has(key)
  return {
    ...(has(PROBE) && { probe: parsedProbe(claims, prefix) }),
    ...(has(PRIORITY) && { priority: integer(claims, PRIORITY, 1, HIGHEST_PRIORITY) }),
    ...(has(HAND_OVER) && { handOverMs: integer(claims, HAND_OVER, 1, LONGEST_HAND_OVER_MS) }),
    ...(has(SUCCESSOR) && {
      successor: deviceIdOf(parseKey<'device'>(bytes(claims, SUCCESSOR, 32), 'successor')),
    }),
  }
}

/** Canonical, as every text of the protocol. */
function parsedProbe(claims: Claims, prefix: Prefix): RouteProbe {
  const said = text(claims, PROBE, PROBE_CHARACTERS)
  const probe = parseProbeOf(prefix, said)
  const canonical = formatRouteProbe(probe)
  if (canonical === said) return probe
  throw new MalformedError(`probe "${said}": canonical form is "${canonical}"`)
}
