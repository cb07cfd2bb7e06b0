/** Claims: what organizations of one host ask of it, and who may have what. Who had a thing first keeps it, across
 *  restarts; what overlaps it is refused. Pure. */
import {
  type AddressFamily,
  addressFamily,
  type Prefix,
  prefixesOverlap,
  prefixLength,
} from '../../protocol/address.ts'
import { isInDomain } from '../../protocol/domain-name.ts'

/** range: addresses of an organization · prefix: a route outside of them · domain: names · exit: all that leaves the
 *  host · underlay: an address by which its tunnel runs, which no route of another may lead away. */
export type Claim =
  | { readonly kind: 'range' | 'prefix' | 'underlay'; readonly value: Prefix }
  | { readonly kind: 'domain'; readonly value: string }
  | { readonly kind: 'exit'; readonly value: '' }

/** The organization that `nexd up` is started for. */
export const FIRST = 'first'

/** A claim that was let through; the list of all is in the order of their coming. */
export type Held = Claim & { readonly label: string }

/** A claim that was not. */
export type Refused = Claim & {
  /** Label of the organization that has what it overlaps; absent where the claim itself is at fault. */
  readonly by?: string
  /** For people: what of that organization, or what is at fault. */
  readonly over: string
}

export interface Shares {
  readonly held: readonly Held[]
  readonly refused: ReadonlyMap<string, readonly Refused[]>
}

export const CLAIM_LIMITS = {
  /** Claims of one organization: 64 prefixes of each of 30 routers, and as many addresses that paths use. */
  claims: 4096,
  /** Bits: a shorter prefix of a further organization would lead away what no organization has claimed yet. */
  shortest: { 4: 8, 6: 16 },
} as const

/** @param before what was held
 *  @param wanted what each organization wants now, the first one first; undefined: it has not said yet, and keeps what it
 *  held. One that is not there holds nothing. */
export function shareOut(
  before: readonly Held[],
  wanted: ReadonlyMap<string, readonly Claim[] | undefined>,
): Shares {
  const keys = new Map([...wanted].map(([label, claims]) => [label, keysOf(claims)]))
  let held: readonly Held[] = before.filter((each) => {
    const wants = keys.get(each.label)
    return keys.has(each.label) && (wants === undefined || wants.has(keyOf(each)))
  })
  const refused = new Map<string, readonly Refused[]>()
  for (const [label, claims] of wanted) {
    if (claims === undefined) continue
    const answer = answerTo(label, claims, held)
    held = answer.held
    refused.set(label, answer.refused)
  }
  return { held, refused }
}

function answerTo(
  label: string,
  claims: readonly Claim[],
  before: readonly Held[],
): { readonly held: readonly Held[]; readonly refused: readonly Refused[] } {
  const others = before.filter((each) => each.label !== label)
  const closed = closedFamilies(label, claims, others)
  const had = new Set(before.filter((each) => each.label === label).map(keyOf))
  const added: Held[] = []
  const kept = new Set<string>()
  const refused: Refused[] = []
  for (const [index, claim] of claims.entries()) {
    const fault = closedBy(claim, closed) ?? faultOf(label, claim, index)
    const key = keyOf(claim)
    const why = fault ?? (had.has(key) ? undefined : conflict(claim, others))
    if (why !== undefined) refused.push({ ...claim, ...why })
    else if (had.has(key)) kept.add(key)
    else added.push({ ...claim, label })
  }
  const rest = before.filter((each) => each.label !== label || kept.has(keyOf(each)))
  return { held: [...rest, ...added], refused }
}

type Why = Pick<Refused, 'by' | 'over'>

/** Families of whose ranges one is another's: an organization has all of its addresses or none, for half a network would
 *  look like a whole one. Without IPv6 it has nothing left. */
function closedFamilies(
  label: string,
  claims: readonly Claim[],
  others: readonly Held[],
): ReadonlyMap<AddressFamily, Why> {
  const closed = new Map<AddressFamily, Why>()
  for (const claim of claims) {
    if (claim.kind !== 'range') continue
    const why = faultOf(label, claim, 0) ?? conflict(claim, others)
    if (why !== undefined) closed.set(addressFamily(claim.value), why)
  }
  const six = closed.get(6)
  return six === undefined ? closed : new Map([...closed, [4, closed.get(4) ?? six]])
}

function closedBy(claim: Claim, closed: ReadonlyMap<AddressFamily, Why>): Why | undefined {
  return claim.kind === 'range' || claim.kind === 'prefix'
    ? closed.get(addressFamily(claim.value))
    : undefined
}

function faultOf(label: string, claim: Claim, index: number): Why | undefined {
  if (index >= CLAIM_LIMITS.claims) return { over: `the limit of ${CLAIM_LIMITS.claims} claims` }
  if (label === FIRST || (claim.kind !== 'range' && claim.kind !== 'prefix')) return undefined
  const shortest = CLAIM_LIMITS.shortest[addressFamily(claim.value)]
  return prefixLength(claim.value) < shortest
    ? { over: `the limit of /${shortest} beside other organizations` }
    : undefined
}

function conflict(claim: Claim, others: readonly Held[]): Why | undefined {
  const other = others.find((each) => isConflict(claim, each))
  return other && { by: other.label, over: other.value }
}

function isConflict(a: Claim, b: Claim): boolean {
  if (a.kind === 'exit' || b.kind === 'exit') return a.kind === b.kind
  if (a.kind === 'domain' || b.kind === 'domain')
    return a.kind === b.kind && (isInDomain(a.value, b.value) || isInDomain(b.value, a.value))
  // Two may use one address of the underlay: a relay or a registry of both.
  if (a.kind === 'underlay' && b.kind === 'underlay') return false
  return prefixesOverlap(a.value, b.value)
}

function keysOf(claims: readonly Claim[] | undefined): ReadonlySet<string> | undefined {
  return claims && new Set(claims.map(keyOf))
}

export function keyOf({ kind, value }: Claim): string {
  return `${kind} ${value}`
}
