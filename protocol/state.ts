/** Organization state: every envelope worth keeping, and `apply`, the one way to add another (SPEC §8).
 *
 *  The state is a join-semilattice: each envelope has a slot, in each slot the greatest envelope of a
 *  total order stays. So `apply` is commutative, associative and idempotent, and any two devices that
 *  have seen the same envelopes hold the same state. What is *believed* is derived from it (belief.ts). */

import { type Refusal, standingOf } from './belief.ts'
import { type Envelope, type EnvelopeOf, issuerIdOf } from './envelope.ts'
import type { OrganizationId } from './keys.ts'
import {
  APPROVALS_PER_APPROVER,
  CLOCK_TOLERANCE,
  EVIDENCE,
  HELD_ENVELOPES,
  HELD_MANIFESTS,
  ROUTES_PER_DEVICE,
} from './limits.ts'
import { approvalSlot } from './lock.ts'
import type { Seconds } from './time.ts'

export interface OrganizationState {
  readonly organization: OrganizationId
  /** By slot; see `slotOf`. Read through belief.ts. */
  readonly issuerCertificates: ReadonlyMap<string, EnvelopeOf<'issuer-certificate'>>
  readonly memberships: ReadonlyMap<string, EnvelopeOf<'membership-certificate'>>
  readonly approvals: ReadonlyMap<string, EnvelopeOf<'approval'>>
  readonly manifests: ReadonlyMap<string, EnvelopeOf<'manifest'>>
  readonly endpoints: ReadonlyMap<string, EnvelopeOf<'endpoint-update'>>
  readonly routes: ReadonlyMap<string, EnvelopeOf<'route-advertisement'>>
}

/** What `apply` answers. `changed` is false for what was known or is outdone by what is known. */
export type Verdict =
  | { readonly ok: true; readonly state: OrganizationState; readonly changed: true }
  | {
      readonly ok: false
      readonly state: OrganizationState
      readonly refusal: Refusal
      readonly changed: boolean
    }

export function emptyState(organization: OrganizationId): OrganizationState {
  return {
    organization,
    issuerCertificates: new Map(),
    memberships: new Map(),
    approvals: new Map(),
    manifests: new Map(),
    endpoints: new Map(),
    routes: new Map(),
  }
}

/** Which envelopes change what a device believes; nothing else can. Total: never throws.
 *  `ok` means: believed now. A refused envelope may still be held (`changed`), because what would
 *  vouch for it may arrive later; it has no effect until then. */
export function apply(state: OrganizationState, envelope: Envelope, now: Seconds): Verdict {
  return applyTo(state, envelope, now, new WeakSet())
}

/** One after another, as `apply` does, without a copy for each: what a store holds of ten thousand devices is taken
 *  in within seconds. */
export function applyAll(
  state: OrganizationState,
  envelopes: Iterable<Envelope>,
  now: Seconds,
): { readonly state: OrganizationState; readonly refused: ReadonlySet<Envelope> } {
  const drafts: Drafts = new WeakSet()
  const refused = new Set<Envelope>()
  let next = state
  for (const envelope of envelopes) {
    const verdict = applyTo(next, envelope, now, drafts)
    if (!verdict.ok) refused.add(envelope)
    next = verdict.state
  }
  return { state: next, refused }
}

/** Maps that nobody has seen yet, which may be changed still. */
type Drafts = WeakSet<ReadonlyMap<string, Envelope>>

function applyTo(
  state: OrganizationState,
  envelope: Envelope,
  now: Seconds,
  drafts: Drafts,
): Verdict {
  const early = refusalAtSight(state, envelope, now)
  if (early !== undefined) return { ok: false, state, refusal: early, changed: false }
  const next = insert(state, envelope, drafts)
  if (next === undefined) return { ok: false, state, refusal: 'stale', changed: false }
  const refusal = standingOf(next, envelope, now)
  if (refusal === undefined) return { ok: true, state: next, changed: true }
  return { ok: false, state: boundHeld(next, envelope, now), refusal, changed: true }
}

function refusalAtSight(
  state: OrganizationState,
  envelope: Envelope,
  now: Seconds,
): Refusal | undefined {
  if (envelope.organization !== state.organization) return 'wrong-organization'
  if (envelope.kind === 'proof') return 'not-for-keeping'
  if (envelope.kind === 'manifest' || envelope.kind === 'approval')
    return isAhead(envelope.body.issuedAt, now) ? 'not-yet-valid' : undefined
  if (envelope.body.notAfter <= now) return 'expired'
  const from = 'notBefore' in envelope.body ? envelope.body.notBefore : envelope.body.issuedAt
  return isAhead(from, now) ? 'not-yet-valid' : undefined
}

function isAhead(moment: Seconds, now: Seconds): boolean {
  return moment > now + CLOCK_TOLERANCE
}

/** The state with the envelope in its slot, or undefined where the slot holds it or a greater one. */
function insert(
  state: OrganizationState,
  envelope: Envelope,
  drafts: Drafts,
): OrganizationState | undefined {
  switch (envelope.kind) {
    case 'issuer-certificate': {
      const slot = issuerIdOf(envelope.body.key)
      const map = replace(state.issuerCertificates, slot, envelope, ({ body }) => [
        body.notBefore,
        body.notAfter,
      ])
      return map && { ...state, issuerCertificates: map }
    }
    case 'membership-certificate': {
      const slot = `${envelope.signer} ${envelope.body.device}`
      const map = replace(state.memberships, slot, envelope, membershipRank, drafts)
      return map && { ...state, memberships: map }
    }
    case 'approval': {
      const slot = approvalSlot(envelope.body.device, envelope.signer)
      const map = replace(state.approvals, slot, envelope, sequenceRank)
      const approvals = map && bounded(map, envelope.signer, slot, APPROVALS_PER_APPROVER)
      return approvals && { ...state, approvals }
    }
    case 'manifest':
      return insertManifest(state, envelope)
    case 'endpoint-update': {
      const map = replace(state.endpoints, envelope.signer, envelope, sequenceRank, drafts)
      return map && { ...state, endpoints: map }
    }
    case 'route-advertisement': {
      const slot = `${envelope.signer} ${envelope.body.prefix}`
      const map = replace(state.routes, slot, envelope, sequenceRank)
      const routes = map && bounded(map, envelope.signer, slot, ROUTES_PER_DEVICE)
      return routes && { ...state, routes }
    }
    case 'proof':
      return undefined
  }
}

function membershipRank({ body }: EnvelopeOf<'membership-certificate'>): readonly number[] {
  return [body.manifestSequence, body.notBefore, body.notAfter]
}

function sequenceRank({
  body,
}: {
  readonly body: { readonly sequence: number }
}): readonly number[] {
  return [body.sequence]
}

/** Of one signer so many stay, the least slots. Undefined where `added` is not among them. */
function bounded<E extends Envelope>(
  map: ReadonlyMap<string, E>,
  signer: string,
  added: string,
  most: number,
): ReadonlyMap<string, E> | undefined {
  if (map.size <= most) return map
  const own = [...map].filter(([, each]) => each.signer === signer).map(([slot]) => slot)
  if (own.length <= most) return map
  const kept = new Map(map)
  const surplus = own.toSorted().slice(most)
  for (const slot of surplus) kept.delete(slot)
  return surplus.includes(added) ? undefined : kept
}

/** The greater by rank, then by id, so that equal ranks settle the same way everywhere. */
function replace<E extends Envelope>(
  map: ReadonlyMap<string, E>,
  slot: string,
  candidate: E,
  rank: (envelope: E) => readonly number[],
  drafts: Drafts = new WeakSet(),
): ReadonlyMap<string, E> | undefined {
  const known = map.get(slot)
  if (known !== undefined && !isGreater(candidate, known, rank)) return undefined
  const draft = map instanceof Map && drafts.has(map) ? map : new Map(map)
  drafts.add(draft)
  return draft.set(slot, candidate)
}

function isGreater<E extends Envelope>(
  a: E,
  b: E,
  rank: (envelope: E) => readonly number[],
): boolean {
  const [ranksA, ranksB] = [rank(a), rank(b)]
  for (const [index, value] of ranksA.entries()) {
    const other = ranksB[index] ?? 0
    if (value !== other) return value > other
  }
  return a.id > b.id
}

/** Of each issuer the newest manifest stays, and beside it every other one with a sequence that was
 *  used twice: the proof that the issuer is compromised (SPEC §5.2). */
function insertManifest(
  state: OrganizationState,
  envelope: EnvelopeOf<'manifest'>,
): OrganizationState | undefined {
  const slot = `${envelope.signer} ${envelope.id}`
  if (state.manifests.has(slot)) return undefined
  const kept = keptManifests([...state.manifests.values(), envelope])
  if (!kept.includes(envelope)) return undefined
  return { ...state, manifests: new Map(kept.map((each) => [`${each.signer} ${each.id}`, each])) }
}

function keptManifests(all: readonly EnvelopeOf<'manifest'>[]): readonly EnvelopeOf<'manifest'>[] {
  const kept: EnvelopeOf<'manifest'>[] = []
  for (const ofIssuer of Map.groupBy(all, ({ signer }) => signer).values()) {
    const sorted = ofIssuer.toSorted((a, b) =>
      isGreater(a, b, ({ body }) => [body.sequence]) ? -1 : 1,
    )
    const newest = sorted[0]?.body.sequence
    kept.push(...sorted.filter(({ body }) => body.sequence === newest).slice(0, EVIDENCE))
  }
  return kept.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/** Keeps what is not believed from filling memory: of a kind's held envelopes, for each reason apart, the least ids
 *  stay. So what strangers sign crowds out nothing that only lacks an approval. */
function boundHeld(state: OrganizationState, added: Envelope, now: Seconds): OrganizationState {
  switch (added.kind) {
    case 'membership-certificate':
      return { ...state, memberships: withoutSurplus(state, state.memberships, now) }
    case 'approval':
      return { ...state, approvals: withoutSurplus(state, state.approvals, now) }
    case 'manifest':
      return { ...state, manifests: withoutSurplus(state, state.manifests, now, HELD_MANIFESTS) }
    case 'endpoint-update':
      return { ...state, endpoints: withoutSurplus(state, state.endpoints, now) }
    case 'route-advertisement':
      return { ...state, routes: withoutSurplus(state, state.routes, now) }
    default:
      return state
  }
}

function withoutSurplus<E extends Envelope>(
  state: OrganizationState,
  map: ReadonlyMap<string, E>,
  now: Seconds,
  most = HELD_ENVELOPES,
): ReadonlyMap<string, E> {
  if (map.size <= most) return map
  const standings = Map.groupBy(map, ([, each]) => standingOf(state, each, now))
  standings.delete(undefined)
  const surplus = [...standings.values()].flatMap((held) =>
    held.toSorted(([, a], [, b]) => (a.id < b.id ? -1 : 1)).slice(most),
  )
  if (surplus.length === 0) return map
  const kept = new Map(map)
  for (const [slot] of surplus) kept.delete(slot)
  return kept
}

/** The state without what has ended by `now`: it can have no effect any more. */
export function prune(state: OrganizationState, now: Seconds): OrganizationState {
  const alive = <E extends { readonly body: { readonly notAfter: Seconds } }>(
    map: ReadonlyMap<string, E>,
  ): ReadonlyMap<string, E> => new Map([...map].filter(([, { body }]) => body.notAfter > now))
  return {
    ...state,
    issuerCertificates: alive(state.issuerCertificates),
    memberships: alive(state.memberships),
    endpoints: alive(state.endpoints),
    routes: alive(state.routes),
  }
}

/** Every envelope kept, those that vouch for others first. */
export function envelopesOf(state: OrganizationState): readonly Envelope[] {
  return [
    ...state.issuerCertificates.values(),
    ...state.manifests.values(),
    ...state.memberships.values(),
    ...state.approvals.values(),
    ...state.endpoints.values(),
    ...state.routes.values(),
  ]
}
