/** The network as people see it: which devices of an organization are there, and who is in touch with whom, as they
 *  said last in their endpoint updates (SPEC §6.4). */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import type { PathReport } from '../protocol/path-report.ts'
import { type RelayAddress, relayAddressOf } from '../protocol/relay.ts'
import type { OrganizationState } from '../protocol/state.ts'
import type { Seconds } from '../protocol/time.ts'
import { type Connected, type LiveFacts, liveFactsIn } from './device-presence.ts'
import type { Device, Devices } from './devices.ts'
import { Refused } from './refusal.ts'
import type { Database } from './store/database.ts'

/** `online`: connected to this registry · `reached`: not that, but others are in touch with it. */
export const DEVICE_STATES = ['online', 'reached', 'offline'] as const
export type DeviceState = (typeof DEVICE_STATES)[number]

export interface NetworkDevice {
  readonly id: DeviceId
  readonly name: string
  readonly owner: string
  readonly state: DeviceState
  readonly seenAt: Seconds
}

/** What one end said of a link. */
export interface LinkReport {
  readonly by: DeviceId
  readonly kind: PathReport['kind']
  readonly roundTripMs?: number
  /** Of a relayed path: the registry (whichever), or a device of the organization; absent where it is not known. */
  readonly relay?: 'registry' | DeviceId
  readonly saidAt: Seconds
}

/** Between two devices; what is said of it on the whole is what was said last. */
export interface NetworkLink extends Omit<LinkReport, 'by'> {
  readonly a: DeviceId
  readonly b: DeviceId
  /** Of one end or both, the newest first. */
  readonly reports: readonly LinkReport[]
}

export interface Network {
  /** By name. */
  readonly devices: readonly NetworkDevice[]
  /** By the names of their ends. */
  readonly links: readonly NetworkLink[]
}

/** Seconds for which a device counts as connected to another registry that noted it: they do so every 300 s. */
const NOTED = 360

export interface NetworkFacts {
  readonly devices: readonly (Pick<Device, 'id' | 'name' | 'owner'> & LiveFacts)[]
  /** What devices said; undefined where nothing is known. */
  readonly state: Pick<OrganizationState, 'endpoints'> | undefined
  /** May devices be connected to other registries? */
  readonly areRegistriesMany: boolean
  readonly now: Seconds
}

/** Whoever is not connected may have said what it said long ago: its word counts only where another registry has seen
 *  it lately. */
export function networkOf(facts: NetworkFacts): Network {
  const { devices, areRegistriesMany, now } = facts
  const isThere = ({ online, seenAt }: LiveFacts): boolean =>
    online || (areRegistriesMany && now - seenAt <= NOTED)
  const speakers = devices.filter(isThere)
  const reports = speakers.flatMap(({ id }) => reportsBy(id, facts))
  const links = linksOf(reports, devices)
  const reached = new Set(links.flatMap(({ a, b }) => [a, b]))
  return {
    devices: devices
      .map(({ id, name, owner, online, seenAt }): NetworkDevice => {
        const state = online ? 'online' : reached.has(id) ? 'reached' : 'offline'
        return { id, name, owner, state, seenAt }
      })
      .sort((a, b) => a.name.localeCompare(b.name)),
    links,
  }
}

/** Throws Refused (device-unknown) unless the organization has it. */
export function requireDevice({ devices }: Network, device: string): void {
  if (devices.some(({ id }) => id === device)) return
  throw new Refused('device-unknown', 'the organization has no such device', { field: 'device' })
}

interface Said extends LinkReport {
  readonly to: RelayAddress
}

function reportsBy(device: DeviceId, { state, devices, now }: NetworkFacts): readonly Said[] {
  const update = state?.endpoints.get(device)?.body
  if (update === undefined || update.notAfter <= now) return []
  const ids = update.paths?.length ? idsOf(devices) : new Map<RelayAddress, DeviceId>()
  return (update.paths ?? []).map(({ peer, kind, roundTripMs, relay }) => {
    const through = relay === undefined || relay === 'registry' ? relay : ids.get(relay)
    return {
      ...{ by: device, to: peer, kind, saidAt: update.issuedAt },
      ...(roundTripMs !== undefined && { roundTripMs }),
      ...(through !== undefined && { relay: through }),
    }
  })
}

const addresses = new WeakMap<NetworkFacts['devices'], ReadonlyMap<RelayAddress, DeviceId>>()

function idsOf(devices: NetworkFacts['devices']): ReadonlyMap<RelayAddress, DeviceId> {
  const known = addresses.get(devices)
  if (known !== undefined) return known
  const ids = new Map(devices.map(({ id }) => [relayAddressOf(id), id]))
  addresses.set(devices, ids)
  return ids
}

function linksOf(
  reports: readonly Said[],
  devices: NetworkFacts['devices'],
): readonly NetworkLink[] {
  const ids = idsOf(devices)
  const names = new Map(devices.map(({ id, name }) => [id as string, name]))
  const byEnds = new Map<string, LinkReport[]>()
  for (const { to, ...report } of reports) {
    const peer = ids.get(to)
    if (peer === undefined || peer === report.by) continue
    const ends = [report.by, peer].sort().join(' ')
    byEnds.set(ends, [...(byEnds.get(ends) ?? []), report])
  }
  const nameOf = (id: string): string => names.get(id) ?? id
  const byName = (x: string, y: string): number => nameOf(x).localeCompare(nameOf(y))
  return [...byEnds]
    .map(([ends, said]): NetworkLink => {
      const [a, b] = ends.split(' ').sort(byName) as [DeviceId, DeviceId]
      const newest = said.toSorted((x, y) => y.saidAt - x.saidAt)
      const [{ by: _, ...last }] = newest as [LinkReport]
      return { a, b, ...last, reports: newest }
    })
    .sort((x, y) => byName(x.a, y.a) || byName(x.b, y.b))
}

export interface NetworkParts {
  readonly database: Database
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly devices: Pick<Devices, 'list'>
  readonly connected: Connected
  belief(organization: OrganizationId): OrganizationState | undefined
  /** Public URLs of those that run. */
  registries(): readonly string[]
}

export interface Networks {
  /** As it was a second or two ago at most: many may look at it all the time. */
  now(organization: OrganizationId): Promise<Network>
}

/** Milliseconds for which a network is not looked at again, and organizations remembered. */
const KEPT_MS = 1500
const KEPT = 256

export function openNetworks(parts: NetworkParts): Networks {
  const kept = new Map<OrganizationId, { readonly atMs: number; readonly seen: Promise<Network> }>()
  return {
    now(organization) {
      const nowMs = parts.clock.monotonicMs()
      const known = kept.get(organization)
      if (known !== undefined && nowMs - known.atMs < KEPT_MS) return known.seen
      const seen = look(parts, organization)
      kept.delete(organization)
      const oldest = kept.keys().next()
      if (kept.size >= KEPT && oldest.done !== true) kept.delete(oldest.value)
      kept.set(organization, { atMs: nowMs, seen })
      seen.catch(() => kept.delete(organization))
      return seen
    },
  }
}

/** Ids of those whom others are in touch with, by what they gossip, though they are not connected to this registry. */
export async function reachedIn(
  networks: Networks,
  organization: OrganizationId,
): Promise<ReadonlySet<string>> {
  const { devices } = await networks.now(organization)
  return new Set(devices.flatMap(({ id, state }) => (state === 'reached' ? [id] : [])))
}

async function look(parts: NetworkParts, organization: OrganizationId): Promise<Network> {
  const factsOf = await liveFactsIn(parts, parts.connected, organization)
  const devices = await parts.devices.list(organization)
  return networkOf({
    devices: devices.map((device) => ({ ...device, ...factsOf(device) })),
    state: parts.belief(organization),
    areRegistriesMany: parts.registries().length > 1,
    now: parts.clock.now(),
  })
}
