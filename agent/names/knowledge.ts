/** Name knowledge: what of an organization's belief its names follow from (SPEC §13.2). Pure. */
import { type IpAddress, isHostPrefix, type Prefix, prefixAddress } from '../../protocol/address.ts'
import { currentManifest, membersOf } from '../../protocol/belief.ts'
import {
  type DomainName,
  idDomain,
  type NamedOrganization,
  organizationDomain,
} from '../../protocol/domain-name.ts'
import type { DeviceId, OrganizationId } from '../../protocol/keys.ts'
import type { ExtraRecord, Forward } from '../../protocol/organization-names.ts'
import { routeClaims } from '../../protocol/route-claims.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { Seconds } from '../../protocol/time.ts'

export interface NamedDevice {
  readonly name: string
  readonly device: DeviceId
  readonly addresses: readonly IpAddress[]
}

export interface NameKnowledge {
  /** The manifest's sequence. */
  readonly serial: number
  /** The organization's own, of its name; the other, of its id, serves always. */
  readonly domain: DomainName
  readonly idDomain: DomainName
  /** Another organization of this host has the label: then `domain` is `idDomain`. */
  readonly takenBy?: OrganizationId
  readonly self: NamedDevice
  /** By name, this one among them; of two devices with one name the lower DeviceId has it. */
  readonly devices: ReadonlyMap<string, NamedDevice>
  /** Host prefixes that are advertised, and who holds them. */
  readonly held: ReadonlyMap<IpAddress, NamedDevice>
  /** Wider prefixes that this device itself advertises: what is in them it reaches without the tunnel. */
  readonly advertised: readonly Prefix[]
  readonly ranges: readonly Prefix[]
  readonly records: readonly ExtraRecord[]
  readonly forwards: readonly Forward[]
}

/** @param before organizations that this host was in first
 *  Undefined where the device is no member, or has no manifest: then there are no names. */
export function nameKnowledge(
  state: OrganizationState,
  self: DeviceId,
  now: Seconds,
  before: readonly NamedOrganization[] = [],
): NameKnowledge | undefined {
  const manifest = currentManifest(state, now)?.body
  const members = membersOf(state, now)
  if (manifest === undefined || !members.has(self)) return undefined
  const named = new Map<DeviceId, NamedDevice>()
  const devices = new Map<string, NamedDevice>()
  for (const [device, { certificate }] of members) {
    const { name } = certificate
    const each = { name, device, addresses: certificate.addresses.map(prefixAddress) }
    named.set(device, each)
    if (!devices.has(name)) devices.set(name, each)
  }
  const own = named.get(self)
  if (own === undefined) return undefined
  const { records, forwards } = manifest.names
  const claims = [...routeClaims(state, now)]
  return {
    serial: manifest.sequence,
    ...organizationDomain({ id: state.organization, name: manifest.name }, before),
    idDomain: idDomain(state.organization),
    self: own,
    devices,
    held: new Map(
      claims.flatMap(([prefix, [holder]]) => {
        const device = holder === undefined ? undefined : named.get(holder.device)
        return device !== undefined && isHostPrefix(prefix)
          ? [[prefixAddress(prefix), device] as const]
          : []
      }),
    ),
    advertised: claims
      .filter(([prefix, all]) => !isHostPrefix(prefix) && all.some(({ device }) => device === self))
      .map(([prefix]) => prefix),
    ranges: manifest.ranges,
    records,
    forwards,
  }
}
