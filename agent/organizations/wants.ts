/** Wants: what an organization asks of the host, from what is believed of it. Pure. */
import {
  hostPrefix,
  type IpAddress,
  isDefaultPrefix,
  type Prefix,
  prefixContains,
} from '../../protocol/address.ts'
import { currentManifest, membersOf } from '../../protocol/belief.ts'
import { organizationDomain } from '../../protocol/domain-name.ts'
import type { DeviceId, OrganizationId } from '../../protocol/keys.ts'
import { routeClaims } from '../../protocol/route-claims.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { Seconds } from '../../protocol/time.ts'
import { CLAIM_LIMITS, type Claim } from './claims.ts'

export interface Wants {
  readonly organization: OrganizationId
  /** As its manifest has it. */
  readonly name: string
  /** This device's in it. */
  readonly addresses: readonly Prefix[]
  readonly claims: readonly Claim[]
}

/** What a host knows beside: is an exit wanted, by which addresses does the tunnel run now, and by which names are the
 *  first one's registries found? */
export interface OnHost {
  readonly isExitWanted: boolean
  readonly underlay: readonly IpAddress[]
  readonly servers: readonly string[]
}

/** Undefined where nothing is known of the organization yet. */
export function wantsOf(
  state: OrganizationState,
  self: DeviceId,
  now: Seconds,
  { isExitWanted, underlay, servers }: OnHost,
): Wants | undefined {
  const manifest = currentManifest(state, now)?.body
  if (manifest === undefined) return undefined
  const { organization } = state
  const { name, ranges, names } = manifest
  const members = membersOf(state, now)
  const addresses = [...members.values()].flatMap(({ certificate }) => certificate.addresses)
  const routed = [...routeClaims(state, now).keys()].filter((each) => !isDefaultPrefix(each))
  const isOutside = (prefix: Prefix): boolean =>
    !ranges.some((range) => prefixContains(range, prefix))
  const { domain } = organizationDomain({ id: organization, name })
  const claims: readonly Claim[] = [
    ...unique(ranges).map((value) => ({ kind: 'range', value }) as const),
    { kind: 'domain', value: domain },
    ...(isExitWanted ? [{ kind: 'exit', value: '' } as const] : []),
    // Before what admins can make more of than is allowed.
    ...servers.map((value) => ({ kind: 'server', value }) as const),
    ...unique(underlay.map(hostPrefix)).map((value) => ({ kind: 'underlay', value }) as const),
    ...unique([...addresses, ...routed].filter(isOutside)).map(
      (value) => ({ kind: 'prefix', value }) as const,
    ),
    ...unique(names.forwards.map(({ domain: value }) => value))
      .filter((value) => value !== domain)
      .map((value) => ({ kind: 'domain', value }) as const),
  ]
  return {
    organization,
    name,
    addresses: members.get(self)?.certificate.addresses ?? [],
    // One more than is allowed, so that it is said.
    claims: claims.slice(0, CLAIM_LIMITS.claims + 1),
  }
}

function unique<T>(all: readonly T[]): readonly T[] {
  return [...new Set(all)]
}
