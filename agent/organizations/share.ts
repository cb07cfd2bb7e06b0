/** Share: what of a host that several organizations use one of them may have, and what follows for its tunnel and its
 *  names. Pure. Undefined in place of a share: the organization is alone there, and has all. */
import {
  hostPrefix,
  type IpAddress,
  isDefaultPrefix,
  type Prefix,
  prefixContains,
} from '../../protocol/address.ts'
import type { Member } from '../../protocol/belief.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { NameKnowledge } from '../names/knowledge.ts'
import type { Claim, Refused } from './claims.ts'

export interface Share {
  readonly granted: readonly Claim[]
  readonly refused: readonly Refused[]
  /** Names of the organizations that `refused` tells of, for people, by label. */
  readonly names: Readonly<Record<string, string>>
  /** Their ids, where they are known. */
  readonly ids: Readonly<Record<string, OrganizationId>>
  /** What others have of the addresses inside tunnels. */
  readonly others: readonly Prefix[]
  /** UDP ports of their tunnels. */
  readonly ports: readonly number[]
  /** Label of the one that has the exit. */
  readonly exitOf?: string
}

/** Of an organization that has been told nothing yet. */
export const NO_SHARE: Share = {
  granted: [],
  refused: [],
  names: {},
  ids: {},
  others: [],
  ports: [],
}

/** May the organization carry it on this host? */
export type MayCarry = (prefix: Prefix) => boolean

export function carriedBy(share: Share | undefined): MayCarry {
  if (share === undefined) return () => true
  const space = share.granted.flatMap((claim) =>
    claim.kind === 'range' || claim.kind === 'prefix' ? [claim.value] : [],
  )
  const exact = new Set(space)
  const mayExit = hasExit(share)
  return (prefix) =>
    isDefaultPrefix(prefix)
      ? mayExit
      : exact.has(prefix) || space.some((each) => prefixContains(each, prefix))
}

export function hasExit(share: Share | undefined): boolean {
  return share === undefined || share.granted.some(({ kind }) => kind === 'exit')
}

/** Members with the addresses that are carried: of the others nothing of this host may reach them. */
export function carriedMembers<Key>(
  members: ReadonlyMap<Key, Member>,
  share: Share | undefined,
): ReadonlyMap<Key, Member> {
  if (share === undefined) return members
  const mayCarry = carriedBy(share)
  return new Map(
    [...members].map(([key, member]) => {
      const { certificate } = member
      const addresses = certificate.addresses.filter(mayCarry)
      return addresses.length === certificate.addresses.length
        ? [key, member]
        : [key, { ...member, certificate: { ...certificate, addresses } }]
    }),
  )
}

/** Names without what others have: its domain and forwards, and addresses that are not carried. Undefined where it has not
 *  been answered yet whose the domain is. */
export function carriedNames(
  known: NameKnowledge | undefined,
  share: Share | undefined,
): NameKnowledge | undefined {
  if (known === undefined || share === undefined) return known
  const isMine = (domain: string): boolean =>
    share.granted.some(({ kind, value }) => kind === 'domain' && value === domain)
  const taken = share.refused.find(({ kind, value }) => kind === 'domain' && value === known.domain)
  if (taken === undefined && !isMine(known.domain)) return undefined
  const mayCarry = carriedBy(share)
  const isCarried = (address: IpAddress): boolean => mayCarry(hostPrefix(address))
  const carried = <T extends { readonly addresses: readonly IpAddress[] }>(named: T): T => ({
    ...named,
    addresses: named.addresses.filter(isCarried),
  })
  const takenBy = taken?.by === undefined ? undefined : share.ids[taken.by]
  return {
    ...known,
    ...(taken === undefined ? {} : { domain: known.idDomain }),
    ...(takenBy === undefined ? {} : { takenBy }),
    self: carried(known.self),
    devices: new Map([...known.devices].map(([name, each]) => [name, carried(each)])),
    held: new Map([...known.held].filter(([address]) => isCarried(address))),
    advertised: known.advertised.filter(mayCarry),
    ranges: known.ranges.filter(mayCarry),
    forwards: known.forwards.filter(({ domain }) => isMine(domain)),
  }
}

/** `100.64.0.0/10 overlaps 100.64.0.0/10 of acme` */
export function refusalText({ kind, value, by, over }: Refused, { names }: Share): string {
  const what = kind === 'exit' ? 'the exit' : value
  if (by === undefined) return `${what} is beyond ${over}`
  const whose = names[by] ?? by
  return kind === 'exit' ? `${whose} has the exit` : `${what} overlaps ${over} of ${whose}`
}

/** Why a prefix is not carried, for people; undefined: it is, or it is not known yet. */
export function refusalOf(prefix: Prefix, share: Share | undefined): string | undefined {
  if (share === undefined || carriedBy(share)(prefix)) return undefined
  const found = isDefaultPrefix(prefix)
    ? share.refused.find(({ kind }) => kind === 'exit')
    : share.refused.find(
        (each) =>
          (each.kind === 'range' || each.kind === 'prefix') && prefixContains(each.value, prefix),
      )
  return found && refusalText(found, share)
}

/** What an operator must know of it, a line each. */
export function shareTexts(share: Share | undefined): readonly string[] {
  if (share === undefined) return []
  const ranges = share.refused.filter(({ kind }) => kind === 'range')
  const six = ranges.find(({ value }) => value.includes(':'))
  const four = ranges.find(({ value }) => !value.includes(':'))
  const rest = share.refused.filter(({ kind }) => kind !== 'range' && kind !== 'underlay')
  const shown = rest.filter(({ value }) =>
    value.includes(':') ? six === undefined : four === undefined || !value.includes('/'),
  )
  return [
    ...(six === undefined ? [] : [`nothing of it is carried: ${refusalText(six, share)}`]),
    ...(four === undefined || six !== undefined
      ? []
      : [`carried by IPv6 alone: ${refusalText(four, share)}`]),
    ...(six === undefined ? shown.map((each) => `refused: ${refusalText(each, share)}`) : []),
  ]
}
