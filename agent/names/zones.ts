/** Zones: every name that this organization answers for, from what is known of it. Pure. */
import {
  addressFamily,
  hostPrefix,
  type IpAddress,
  prefixContains,
} from '../../protocol/address.ts'
import { type DomainName, isInDomain } from '../../protocol/domain-name.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { ExtraRecord, Forward } from '../../protocol/organization-names.ts'
import type { NamedDevice, NameKnowledge } from './knowledge.ts'
import { reverseName, reverseZones } from './reverse.ts'

export type ZoneRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: IpAddress }
  | { readonly type: 'CNAME'; readonly target: DomainName }
  | { readonly type: 'PTR'; readonly target: DomainName }
  | { readonly type: 'TXT'; readonly text: string }

/** A name, as `nexctl names` and a hosts file tell it. */
export interface ListedName {
  readonly name: DomainName
  /** Without the domain, where it is searched; none for the domain itself. */
  readonly short: string
  readonly addresses: readonly IpAddress[]
  /** Who has the addresses; absent where nobody of the organization has. */
  readonly device?: string
  readonly origin: 'device' | 'record'
}

export interface Zones {
  readonly serial: number
  /** Of the organization: its own domain first, which is searched. None: no member. */
  readonly domains: readonly DomainName[]
  readonly apexes: ReadonlySet<DomainName>
  readonly records: ReadonlyMap<string, readonly ZoneRecord[]>
  /** Names that have none of their own, only names below them (RFC 8020). */
  readonly above: ReadonlySet<string>
  readonly forwards: readonly Forward[]
  /** Another organization of this host has the label of this one's name. */
  readonly takenBy?: OrganizationId
  readonly listed: readonly ListedName[]
}

export const NO_ZONES: Zones = {
  serial: 0,
  domains: [],
  apexes: new Set(),
  records: new Map(),
  above: new Set(),
  forwards: [],
  listed: [],
}

/** Links of a chain of aliases that are followed. */
const CHAIN = 8

export function zonesOf(knowledge: NameKnowledge | undefined): Zones {
  if (knowledge === undefined) return NO_ZONES
  const domains = [...new Set([knowledge.domain, knowledge.idDomain])]
  const reverse = [...new Set(knowledge.ranges.flatMap(reverseZones))]
  const apexes = new Set([...domains, ...reverse])
  const relative = relativeRecords(knowledge)
  const records = new Map<string, readonly ZoneRecord[]>()
  for (const domain of domains) {
    for (const [name, all] of relative)
      records.set(
        within(name, domain),
        all.map((each) => inDomain(each, domain)),
      )
  }
  const listed = listedNames(knowledge, relative)
  for (const [address, target] of reverseTargets(knowledge, listed))
    records.set(reverseName(address), [{ type: 'PTR', target }])
  return {
    serial: knowledge.serial,
    domains,
    apexes,
    records,
    above: namesAbove([...records.keys()], apexes),
    forwards: knowledge.forwards,
    listed,
    ...(knowledge.takenBy === undefined ? {} : { takenBy: knowledge.takenBy }),
  }
}

/** By name relative to the domain; targets of aliases relative, too. Names of devices come before records that an
 *  organization adds, and an alias stands alone (RFC 1034 §3.6.2): what collides is left out. */
function relativeRecords(knowledge: NameKnowledge): ReadonlyMap<string, readonly ZoneRecord[]> {
  const found = new Map<string, readonly ZoneRecord[]>(
    [...knowledge.devices.values()].map(({ name, addresses }) => [name, addresses.map(ofAddress)]),
  )
  for (const record of knowledge.records) {
    if (record.kind !== 'text' && knowledge.devices.has(record.name)) continue
    const known = found.get(record.name) ?? []
    const isAlone = known.every(({ type }) => type !== 'CNAME')
    if (record.kind === 'alias' ? known.length > 0 : !isAlone) continue
    found.set(record.name, [...known, ofRecord(record)])
  }
  return found
}

function ofAddress(address: IpAddress): ZoneRecord {
  return { type: addressFamily(address) === 4 ? 'A' : 'AAAA', address }
}

function ofRecord(record: ExtraRecord): ZoneRecord {
  switch (record.kind) {
    case 'address':
      return ofAddress(record.address)
    case 'alias':
      return { type: 'CNAME', target: record.target }
    case 'text':
      return { type: 'TXT', text: record.text }
  }
}

function within(name: string, domain: DomainName): DomainName {
  return (name === '' ? domain : `${name}.${domain}`) as DomainName
}

function inDomain(record: ZoneRecord, domain: DomainName): ZoneRecord {
  return record.type === 'CNAME' ? { ...record, target: within(record.target, domain) } : record
}

function listedNames(
  { domain, devices, held }: NameKnowledge,
  relative: ReadonlyMap<string, readonly ZoneRecord[]>,
): readonly ListedName[] {
  const owners = new Map<IpAddress, NamedDevice>([
    ...held,
    ...[...devices.values()].flatMap((each) =>
      each.addresses.map((address) => [address, each] as const),
    ),
  ])
  return [...relative.keys()].flatMap((name): ListedName[] => {
    const addresses = addressesAt(relative, name)
    const owner = devices.get(name) ?? owners.get(addresses[0] ?? ('' as IpAddress))
    if (addresses.length === 0) return []
    const origin = devices.has(name) ? 'device' : 'record'
    const listed = { name: within(name, domain), short: name, addresses, origin } as const
    return [owner === undefined ? listed : { ...listed, device: owner.name }]
  })
}

/** Of a name, by way of its aliases. */
export function addressesAt(
  records: ReadonlyMap<string, readonly ZoneRecord[]>,
  name: string,
): readonly IpAddress[] {
  let at = name
  for (let link = 0; link <= CHAIN; link++) {
    const found = records.get(at) ?? []
    const alias = found.find((each) => each.type === 'CNAME')
    if (alias === undefined)
      return found.flatMap((each) => ('address' in each ? [each.address] : []))
    at = alias.target
  }
  return []
}

/** Of addresses in the organization's ranges: the device's own name; of one that moves, the name that a record gives
 *  it, else the holder's. */
function reverseTargets(
  { ranges, devices, held, domain }: NameKnowledge,
  listed: readonly ListedName[],
): ReadonlyMap<IpAddress, DomainName> {
  const isOurs = (address: IpAddress): boolean =>
    ranges.some((range) => prefixContains(range, hostPrefix(address)))
  const targets = new Map<IpAddress, DomainName>()
  const give = (address: IpAddress, target: DomainName): void => {
    if (!targets.has(address) && isOurs(address)) targets.set(address, target)
  }
  for (const { name, addresses } of devices.values())
    for (const address of addresses) give(address, within(name, domain))
  for (const { name, addresses, origin } of listed)
    if (origin === 'record') for (const address of addresses) give(address, name)
  for (const [address, { name }] of held) give(address, within(name, domain))
  return targets
}

function namesAbove(
  names: readonly string[],
  apexes: ReadonlySet<DomainName>,
): ReadonlySet<string> {
  const above = new Set<string>()
  for (const name of names) {
    let at = name
    while (!apexes.has(at as DomainName) && at.includes('.')) {
      at = at.slice(at.indexOf('.') + 1)
      above.add(at)
    }
  }
  return above
}

/** The zone that a name is in, the nearest of several; undefined where it is in none. */
export function apexOf({ apexes }: Pick<Zones, 'apexes'>, name: string): DomainName | undefined {
  let at = name
  for (;;) {
    if (apexes.has(at as DomainName)) return at as DomainName
    if (!at.includes('.')) return undefined
    at = at.slice(at.indexOf('.') + 1)
  }
}

/** The forward of the longest domain that a name is in. */
export function forwardOf(
  { forwards }: Pick<Zones, 'forwards'>,
  name: string,
): Forward | undefined {
  return forwards
    .filter(({ domain }) => isInDomain(name, domain))
    .toSorted((a, b) => b.domain.length - a.domain.length)[0]
}

/** Addresses of a name as a person types it: whole, with a final dot or without, or within the searched domain. */
export function resolveName({ records, domains }: Zones, typed: string): readonly IpAddress[] {
  const name = typed.toLowerCase().replace(/\.$/, '')
  const isWhole = domains.some((domain) => isInDomain(name, domain))
  const [domain] = domains
  if (isWhole || domain === undefined) return addressesAt(records, name)
  return typed.endsWith('.') && name.includes('.') ? [] : addressesAt(records, `${name}.${domain}`)
}
