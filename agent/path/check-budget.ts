/** Check budget: what may be sent to endpoints that have never answered. Members name endpoints, and may name those
 *  of others: whoever is named must not be flooded by all agents of an organization (SPEC §10.9). */

import { toHex } from '../../crypto/bytes.ts'
import {
  addressBytes,
  addressFamily,
  type Endpoint,
  formatEndpoint,
  type IpAddress,
} from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { newFloodLog } from '../flood-log.ts'
import { type Bucket, newBucket } from './bucket.ts'

/** Packets to all endpoints that have not answered, and the largest burst: 100 kB/s while a thousand start. */
const ALL = { burst: 800, perSecond: 800 }
/** To those of one peer: eight rounds of 24 pairs, twice, and then all pairs in 12 s. */
const PEER = { burst: 400, perSecond: 2 }
/** To one address (IPv6: /64) for one peer: eight rounds of eight ports, and then a packet a second, for ten
 *  minutes, and then four a minute. */
const ADDRESS = { burst: 64, perSecond: 1 }
const ADDRESS_LONG = { burst: 600, perSecond: 1 / 15 }
/** To endpoints of one peer from which it has just checked us: without these a peer that comes back would be checked as
 *  seldom as one that never answers. */
const TRIGGERED = { burst: 4, perSecond: 0.5 }
const TRIGGER_MS = 5000
/** An answer counts for so long, milliseconds: longer than a direct path that rests is left unchecked. */
const PROVED_MS = 600_000
/** Of one peer; the oldest goes first. */
const ADDRESSES = 64
const PROVED = 64

type HeldBack = (device: DeviceId, to: Endpoint, nowMs: number) => void

export interface CheckBudget {
  /** May one packet for the peer go there? It is charged where it may. */
  take(device: DeviceId, to: Endpoint, nowMs: number): boolean
  /** A check of the peer's came from there. */
  heard(device: DeviceId, from: Endpoint, nowMs: number): void
  /** The peer answered a check from there. */
  proved(device: DeviceId, at: Endpoint, nowMs: number): void
  /** The device is no peer any more. */
  forget(device: DeviceId): void
}

interface PeerBudget {
  readonly bucket: Bucket
  readonly addresses: Map<string, { readonly short: Bucket; readonly long: Bucket }>
  readonly triggered: Bucket
  /** When the peer's check last came from each endpoint. */
  readonly heard: Map<string, number>
  /** When each endpoint answered last. */
  readonly proved: Map<string, number>
}

/** @param onHeldBack a packet for the peer may not go there now */
export function newCheckBudget(onHeldBack: HeldBack = () => undefined): CheckBudget {
  const all = bucketOf(ALL)
  const peers = new Map<DeviceId, PeerBudget>()
  const budgetOf = (device: DeviceId): PeerBudget => {
    const known = peers.get(device)
    if (known !== undefined) return known
    const made = {
      bucket: bucketOf(PEER),
      addresses: new Map(),
      triggered: bucketOf(TRIGGERED),
      heard: new Map(),
      proved: new Map(),
    }
    peers.set(device, made)
    return made
  }
  return {
    take: (device, to, nowMs) => {
      const budget = budgetOf(device)
      const provedMs = budget.proved.get(formatEndpoint(to)) ?? -Infinity
      if (provedMs + PROVED_MS > nowMs) return true
      const { short, long } = addressBudget(budget, to.address)
      const heardMs = budget.heard.get(formatEndpoint(to)) ?? -Infinity
      const isOwnWithin =
        (short.take(nowMs) && long.take(nowMs) && budget.bucket.take(nowMs)) ||
        (heardMs + TRIGGER_MS > nowMs && budget.triggered.take(nowMs))
      if (!isOwnWithin) onHeldBack(device, to, nowMs)
      return isOwnWithin && all.take(nowMs)
    },
    heard: (device, from, nowMs) =>
      putNewest(budgetOf(device).heard, formatEndpoint(from), nowMs, PROVED),
    proved: (device, at, nowMs) =>
      putNewest(budgetOf(device).proved, formatEndpoint(at), nowMs, PROVED),
    forget: (device) => void peers.delete(device),
  }
}

/** Names the peer whose endpoints do not answer. */
export function heldBackLog(log: Log, nameOf: (device: DeviceId) => string | undefined): HeldBack {
  const floods = newFloodLog(log)
  const hint = 'it names addresses that do not answer; they are checked seldom'
  return (device, { address }, nowMs) => {
    const name = nameOf(device)
    if (name !== undefined) floods.count('path.checks-held-back', name, nowMs, { address, hint })
  }
}

function addressBudget({ addresses }: PeerBudget, address: IpAddress) {
  const name = sourceOf(address)
  const budget = addresses.get(name) ?? { short: bucketOf(ADDRESS), long: bucketOf(ADDRESS_LONG) }
  putNewest(addresses, name, budget, ADDRESSES)
  return budget
}

/** One host or site: an IPv4 address, an IPv6 /64. */
export function sourceOf(address: IpAddress): string {
  return addressFamily(address) === 4 ? address : toHex(addressBytes(address).subarray(0, 8))
}

function bucketOf({
  burst,
  perSecond,
}: {
  readonly burst: number
  readonly perSecond: number
}): Bucket {
  return newBucket(burst, perSecond)
}

function putNewest<T>(map: Map<string, T>, name: string, value: T, most: number): void {
  map.delete(name)
  const oldest = map.keys().next()
  if (map.size >= most && oldest.done !== true) map.delete(oldest.value)
  map.set(name, value)
}
