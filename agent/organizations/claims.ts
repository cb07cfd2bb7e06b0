/** Claims: what organizations of one host ask of it, and who may have what. Who had a thing first keeps it, across
 *  restarts; what overlaps it is refused. What the first organization's tunnel runs by it has from whoever came before,
 *  too. Pure. */
import {
  type AddressFamily,
  addressFamily,
  type Prefix,
  prefixContains,
  prefixLength,
} from '../../protocol/address.ts'
import { isInDomain } from '../../protocol/domain-name.ts'
import { ADDRESS_SPACE } from '../../protocol/issuer-request.ts'
import { reversePrefix } from '../names/reverse.ts'
import { type Overlap, overlapTest } from './overlap.ts'
import { isPrivateName } from './private-names.ts'

/** range: addresses of an organization · prefix: a route outside of them · domain: names · exit: all that leaves the
 *  host · underlay: an address by which its tunnel runs, which no route of another may lead away · server: a name by which
 *  the first finds its registries, for which no resolver of another may answer. */
export type Claim =
  | { readonly kind: 'range' | 'prefix' | 'underlay'; readonly value: Prefix }
  | { readonly kind: 'domain' | 'server'; readonly value: string }
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
 *  held. One that is not there holds nothing.
 *  @param mayBePublic labels of further ones that their operator lets have addresses and names of the internet */
export function shareOut(
  before: readonly Held[],
  wanted: ReadonlyMap<string, readonly Claim[] | undefined>,
  mayBePublic: ReadonlySet<string> = new Set(),
): Shares {
  const overlap = overlapTest()
  const keys = new Map([...wanted].map(([label, claims]) => [label, keysOf(claims)]))
  const still = before.filter((each) => {
    const wants = keys.get(each.label)
    return keys.has(each.label) && (wants === undefined || wants.has(keyOf(each)))
  })
  let held = outOfItsWay(still, wanted.get(FIRST) ?? [], overlap)
  const refused = new Map<string, readonly Refused[]>()
  for (const [label, claims] of wanted) {
    if (claims === undefined) continue
    const rules = { label, overlap, mayBePublic: label === FIRST || mayBePublic.has(label) }
    const answer = answerTo(rules, claims, held)
    held = answer.held
    refused.set(label, answer.refused)
  }
  return { held, refused }
}

/** What the first's tunnel runs by, and its registries' names, nobody else has any more. */
function outOfItsWay(
  held: readonly Held[],
  first: readonly Claim[],
  overlap: Overlap,
): readonly Held[] {
  const needed = first.filter(({ kind }) => kind === 'underlay' || kind === 'server')
  return held.filter(
    (each) => each.label === FIRST || !needed.some((other) => leadsAway(each, other, overlap)),
  )
}

/** Would it come between a tunnel and what that runs by? */
function leadsAway(claim: Claim, other: Claim, overlap: Overlap): boolean {
  if (other.kind === 'server')
    return claim.kind === 'domain' && isInDomain(other.value, claim.value)
  return other.kind === 'underlay' && isSpace(claim) && overlap(claim, other)
}

function isOneInOther({ value: one }: Claim, { value: other }: Claim): boolean {
  return isInDomain(one, other) || isInDomain(other, one)
}

/** For one organization. */
interface Rules {
  readonly label: string
  readonly mayBePublic: boolean
  readonly overlap: Overlap
}

function answerTo(
  rules: Rules,
  claims: readonly Claim[],
  before: readonly Held[],
): { readonly held: readonly Held[]; readonly refused: readonly Refused[] } {
  const { label } = rules
  const others = before.filter((each) => each.label !== label)
  const had = new Set(before.filter((each) => each.label === label).map(keyOf))
  const whyNot = (claim: Claim): Why | undefined =>
    faultOf(rules, claim) ??
    conflict(claim, others, had.has(keyOf(claim)) ? isOverruled : isConflict, rules) ??
    nameFaultOf(rules, claim, (name) => isOwnReverse(name, claims, whyNot))
  const closed = closedFamilies(claims, had, whyNot)
  const added: Held[] = []
  const kept = new Set<string>()
  const refused: Refused[] = []
  for (const [index, claim] of claims.entries()) {
    const key = keyOf(claim)
    const why = closedBy(claim, closed) ?? excess(index) ?? whyNot(claim)
    if (why !== undefined) refused.push({ ...claim, ...why })
    else if (had.has(key)) kept.add(key)
    else added.push({ ...claim, label })
  }
  const rest = before.filter((each) => each.label !== label || kept.has(keyOf(each)))
  return { held: [...rest, ...added], refused }
}

type Why = Pick<Refused, 'by' | 'over'>

/** Families of whose ranges one is another's: an organization that comes has all of its addresses or none, for half a
 *  network would look like a whole one; one that has a range already keeps it, whatever it adds. Without IPv6 it has
 *  nothing left. */
function closedFamilies(
  claims: readonly Claim[],
  had: ReadonlySet<string>,
  whyNot: (claim: Claim) => Why | undefined,
): ReadonlyMap<AddressFamily, Why> {
  const ranges = claims.flatMap((claim) =>
    claim.kind === 'range'
      ? [{ claim, family: addressFamily(claim.value), why: whyNot(claim) }]
      : [],
  )
  const open = new Set(
    ranges.flatMap(({ claim, family, why }) =>
      why === undefined && had.has(keyOf(claim)) ? [family] : [],
    ),
  )
  const closed = new Map<AddressFamily, Why>()
  for (const { family, why } of ranges)
    if (why !== undefined && !open.has(family)) closed.set(family, why)
  const six = closed.get(6)
  return six === undefined ? closed : new Map([...closed, [4, closed.get(4) ?? six]])
}

function closedBy(claim: Claim, closed: ReadonlyMap<AddressFamily, Why>): Why | undefined {
  return isSpace(claim) ? closed.get(addressFamily(claim.value)) : undefined
}

function excess(index: number): Why | undefined {
  return index < CLAIM_LIMITS.claims
    ? undefined
    : { over: `the limit of ${CLAIM_LIMITS.claims} claims` }
}

function faultOf({ label, mayBePublic }: Rules, claim: Claim): Why | undefined {
  if (label === FIRST || !isSpace(claim)) return undefined
  const shortest = CLAIM_LIMITS.shortest[addressFamily(claim.value)]
  if (prefixLength(claim.value) < shortest)
    return { over: `the limit of /${shortest} beside other organizations` }
  if (mayBePublic || ADDRESS_SPACE.some((space) => prefixContains(space, claim.value)))
    return undefined
  return { over: 'private addresses (organization add --allow-public-routes lets it have others)' }
}

/** A name of the internet is not an admin's to answer for on hosts of others. */
function nameFaultOf(
  { label, mayBePublic }: Rules,
  claim: Claim,
  isOwn: (name: string) => boolean,
): Why | undefined {
  if (label === FIRST || claim.kind !== 'domain' || mayBePublic) return undefined
  if (isPrivateName(claim.value) || isOwn(claim.value)) return undefined
  return { over: 'private names (organization add --allow-public-routes lets it have others)' }
}

/** Are they reverse names of addresses that it may have? */
function isOwnReverse(
  name: string,
  claims: readonly Claim[],
  whyNot: (claim: Claim) => Why | undefined,
): boolean {
  const reverse = reversePrefix(name)
  if (reverse === undefined) return false
  return claims.some(
    (each) => isSpace(each) && prefixContains(each.value, reverse) && whyNot(each) === undefined,
  )
}

type Test = (claim: Claim, other: Held, rules: Rules) => boolean

function conflict(
  claim: Claim,
  others: readonly Held[],
  isOne: Test,
  rules: Rules,
): Why | undefined {
  const other = others.find((each) => isOne(claim, each, rules))
  return other && { by: other.label, over: other.value }
}

/** Of what the organization does not have yet. Neither by what its tunnel runs by nor by its ranges does another keep
 *  the first from anything. */
function isConflict(claim: Claim, other: Held, { label, overlap }: Rules): boolean {
  if (claim.kind === 'server') return false
  if (other.kind === 'server') return leadsAway(claim, other, overlap)
  if (claim.kind === 'exit' || other.kind === 'exit') return claim.kind === other.kind
  if (claim.kind === 'domain') {
    if (other.kind === 'domain') return isOneInOther(claim, other)
    return label !== FIRST && other.kind === 'range' && overlap(claim, other)
  }
  if (other.kind === 'domain') return false
  // Two may use one address of the underlay: a relay or a registry of both.
  if (claim.kind === 'underlay') return label !== FIRST && isSpace(other) && overlap(claim, other)
  return (label !== FIRST || isSpace(other)) && overlap(claim, other)
}

/** Of what it has: the first takes back what its tunnel runs by, its registries' names and its ranges' reverse names. */
function isOverruled(claim: Claim, other: Held, { label, overlap }: Rules): boolean {
  if (label === FIRST || other.label !== FIRST) return false
  if (claim.kind === 'domain' && other.kind === 'range') return overlap(claim, other)
  return leadsAway(claim, other, overlap)
}

function isSpace(claim: Claim): claim is Claim & { readonly value: Prefix } {
  return claim.kind === 'range' || claim.kind === 'prefix'
}

function keysOf(claims: readonly Claim[] | undefined): ReadonlySet<string> | undefined {
  return claims && new Set(claims.map(keyOf))
}

export function keyOf({ kind, value }: Claim): string {
  return `${kind} ${value}`
}
