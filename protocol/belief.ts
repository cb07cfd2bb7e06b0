/** Belief: what an organization's state means at a moment (SPEC §8.2). Derived, never stored. */
import { isDefaultPrefix, type Prefix, prefixContains } from './address.ts'
import { type Envelope, type EnvelopeOf, issuerIdOf } from './envelope.ts'
import { type IssuerCertificate, isInForce, isInRanges } from './issuer-certificate.ts'
import type { DeviceId } from './keys.ts'
import { isApprover, issuersInForce, isUnlocked } from './lock.ts'
import type { Manifest } from './manifest.ts'
import type { MembershipCertificate } from './membership-certificate.ts'
import type { OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

/** Why an envelope has no effect. All but `stale` may change with what else is known. */
export type Refusal =
  | 'stale'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-organization'
  | 'unknown-issuer'
  | 'beyond-issuer'
  | 'revoked'
  | 'not-member'
  | 'not-approved'
  | 'not-approver'
  | 'route-not-allowed'
  | 'not-for-keeping'

/** The manifest in force: the highest sequence of those that are heard. */
export function currentManifest(
  state: OrganizationState,
  now: Seconds,
): EnvelopeOf<'manifest'> | undefined {
  return newestOf(manifestsHeard(state, now))
}

/** Manifests by issuers that the root vouches for now. Of those that begin earlier only what the newest manifest of
 *  the one that begins latest lists: whoever has the key of an issuer that was given up cannot name it again. */
function manifestsHeard(state: OrganizationState, now: Seconds): readonly EnvelopeOf<'manifest'>[] {
  const { issuerCertificates, manifests } = state
  const known = heard.get(manifests)
  if (known?.now === now && known.issuerCertificates === issuerCertificates) return known.answer
  const answer = judgeManifests(state, now)
  heard.set(manifests, { issuerCertificates, now, answer })
  return answer
}
/** Asked for every envelope there is, as `trust` is. Both maps are copied when they change. */
const heard = new WeakMap<
  OrganizationState['manifests'],
  Pick<OrganizationState, 'issuerCertificates'> & {
    readonly now: Seconds
    readonly answer: readonly EnvelopeOf<'manifest'>[]
  }
>()

function judgeManifests(state: OrganizationState, now: Seconds): readonly EnvelopeOf<'manifest'>[] {
  const vouched = issuersInForce(state, now).map(([issuer]) => issuer)
  const manifests = [...state.manifests.values()].filter(({ signer }) => vouched.includes(signer))
  const last = vouched.find((issuer) => manifests.some(({ signer }) => signer === issuer))
  const decisive = newestOf(manifests.filter(({ signer }) => signer === last))
  return manifests.filter(({ signer }) => signer === last || isListed(decisive?.body, signer))
}

function newestOf(
  manifests: readonly EnvelopeOf<'manifest'>[],
): EnvelopeOf<'manifest'> | undefined {
  let best: EnvelopeOf<'manifest'> | undefined
  for (const candidate of manifests) {
    const ahead = candidate.body.sequence - (best?.body.sequence ?? 0)
    if (best === undefined || ahead > 0 || (ahead === 0 && candidate.id > best.id)) best = candidate
  }
  return best
}

function isListed(manifest: Manifest | undefined, issuer: string): boolean {
  return manifest?.issuers.some((key) => issuerIdOf(key) === issuer) ?? false
}

/** Two manifests with one sequence: proof that an issuer is compromised. Empty, or all of them. */
export function equivocation(
  state: OrganizationState,
  now: Seconds,
): readonly EnvelopeOf<'manifest'>[] {
  const same = manifestsInForce(state, now)
  return same.length > 1 ? same : []
}

/** The manifest in force, and others of its sequence. */
function manifestsInForce(
  state: OrganizationState,
  now: Seconds,
): readonly EnvelopeOf<'manifest'>[] {
  const manifests = manifestsHeard(state, now)
  const sequence = newestOf(manifests)?.body.sequence
  return manifests.filter(({ body }) => body.sequence === sequence)
}

function isVouchedFor(state: OrganizationState, issuer: string, now: Seconds): boolean {
  const certificate = state.issuerCertificates.get(issuer)?.body
  return certificate !== undefined && isInForce(certificate, now)
}

/** May what this issuer signed count? The root vouches for it, and the manifest (if any) names it. */
export function isIssuerTrusted(state: OrganizationState, issuer: string, now: Seconds): boolean {
  const asked = trust.get(state)
  const answers = asked?.now === now ? asked.answers : new Map<string, boolean>()
  if (answers !== asked?.answers) trust.set(state, { now, answers })
  const known = answers.get(issuer)
  if (known !== undefined) return known
  const isTrusted = judgeIssuer(state, issuer, now)
  // Anybody may sign as an issuer of its own making: only those that the root named are remembered.
  if (state.issuerCertificates.has(issuer)) answers.set(issuer, isTrusted)
  return isTrusted
}
/** Asked for every envelope there is, of the same state at the same moment: a flood must not cost much. */
const trust = new WeakMap<OrganizationState, { now: Seconds; answers: Map<string, boolean> }>()

function judgeIssuer(state: OrganizationState, issuer: string, now: Seconds): boolean {
  if (!isVouchedFor(state, issuer, now)) return false
  const manifest = currentManifest(state, now)?.body
  return manifest === undefined || isListed(manifest, issuer)
}

/** Where two manifests share a sequence, a revocation in either counts. */
export function isRevoked(state: OrganizationState, serial: string, now: Seconds): boolean {
  return manifestsInForce(state, now).some(({ body }) => body.revocations.has(serial))
}

/** What keeps an envelope that is in the state from being believed, or undefined. */
export function standingOf(
  state: OrganizationState,
  envelope: Envelope,
  now: Seconds,
): Refusal | undefined {
  switch (envelope.kind) {
    case 'issuer-certificate':
      return now < envelope.body.notAfter ? undefined : 'expired'
    case 'manifest':
      return manifestStanding(state, envelope, now)
    case 'membership-certificate':
      return certificateStanding(state, envelope, now)
    case 'approval':
      return isApprover(state, envelope.signer, now) ? undefined : 'not-approver'
    case 'endpoint-update':
      return deviceStanding(state, envelope.signer as DeviceId, now)
    case 'route-advertisement':
      return routeStanding(state, envelope, now)
    case 'proof':
      return 'not-for-keeping'
  }
}

function manifestStanding(
  state: OrganizationState,
  envelope: EnvelopeOf<'manifest'>,
  now: Seconds,
): Refusal | undefined {
  if (!isVouchedFor(state, envelope.signer, now)) return 'unknown-issuer'
  const manifests = manifestsHeard(state, now)
  const sequence = newestOf(manifests)?.body.sequence ?? 0
  if (sequence > envelope.body.sequence) return 'stale'
  // An equal sequence is evidence: it must spread.
  return manifests.some(({ signer }) => signer === envelope.signer) ? undefined : 'unknown-issuer'
}

function certificateStanding(
  state: OrganizationState,
  envelope: EnvelopeOf<'membership-certificate'>,
  now: Seconds,
): Refusal | undefined {
  const { body, signer } = envelope
  if (now >= body.notAfter) return 'expired'
  const issuer = state.issuerCertificates.get(signer)?.body
  if (issuer === undefined || !isIssuerTrusted(state, signer, now)) return 'unknown-issuer'
  if (body.notAfter - body.notBefore > issuer.longestMembership) return 'beyond-issuer'
  if (!isInside(issuer, body)) return 'beyond-issuer'
  if (isRevoked(state, body.serial, now)) return 'revoked'
  return isUnlocked(state, body, now) ? undefined : 'not-approved'
}

/** Do the addresses lie in the issuer's ranges? Remembered, for neither changes and taking addresses apart costs. */
function isInside(issuer: IssuerCertificate, body: MembershipCertificate): boolean {
  const known = inside.get(body)
  if (known?.issuer === issuer) return known.isInside
  const answer = body.addresses.every((address) => isInRanges(issuer, address))
  inside.set(body, { issuer, isInside: answer })
  return answer
}
const inside = new WeakMap<
  MembershipCertificate,
  { issuer: IssuerCertificate; isInside: boolean }
>()

/** Why a device is no member now, or undefined: it is one. */
export function deviceStanding(
  state: OrganizationState,
  device: DeviceId,
  now: Seconds,
): Refusal | undefined {
  const newest = newestCertificate(state, device, now)
  return newest === undefined ? 'not-member' : certificateStanding(state, newest, now)
}

/** Of several issuers' certificates for a device the newest from a trusted issuer speaks. */
function newestCertificate(
  state: OrganizationState,
  device: DeviceId,
  now: Seconds,
): EnvelopeOf<'membership-certificate'> | undefined {
  let best: EnvelopeOf<'membership-certificate'> | undefined
  for (const issuer of state.issuerCertificates.keys()) {
    const candidate = state.memberships.get(`${issuer} ${device}`)
    if (candidate === undefined || !isIssuerTrusted(state, issuer, now)) continue
    if (best === undefined || isNewer(candidate, best)) best = candidate
  }
  return best
}

function isNewer(
  a: EnvelopeOf<'membership-certificate'>,
  b: EnvelopeOf<'membership-certificate'>,
): boolean {
  const ahead =
    a.body.manifestSequence - b.body.manifestSequence || a.body.notBefore - b.body.notBefore
  return ahead === 0 ? a.id > b.id : ahead > 0
}

function routeStanding(
  state: OrganizationState,
  envelope: EnvelopeOf<'route-advertisement'>,
  now: Seconds,
): Refusal | undefined {
  if (now >= envelope.body.notAfter) return 'expired'
  const device = envelope.signer as DeviceId
  const standing = deviceStanding(state, device, now)
  if (standing !== undefined) return standing
  const certificate = newestCertificate(state, device, now)?.body
  return certificate !== undefined && mayAdvertise(certificate, envelope.body.prefix)
    ? undefined
    : 'route-not-allowed'
}

/** Is the prefix inside one of the certificate's? A default prefix there is leave to be an exit node, with the role for
 *  it, and not to take everybody's prefixes (SPEC §8.7). */
export function mayAdvertise({ prefixes, roles }: MembershipCertificate, wanted: Prefix): boolean {
  if (isDefaultPrefix(wanted)) return roles.includes('exit-node') && prefixes.includes(wanted)
  return prefixes.some((prefix) => !isDefaultPrefix(prefix) && prefixContains(prefix, wanted))
}

/** A member as others act on it: believed certificate and the newest endpoint update, if any. */
export interface Member {
  readonly certificate: MembershipCertificate
  readonly envelope: EnvelopeOf<'membership-certificate'>
  readonly endpoints: EnvelopeOf<'endpoint-update'> | undefined
}

export function memberOf(
  state: OrganizationState,
  device: DeviceId,
  now: Seconds,
): Member | undefined {
  const envelope = newestCertificate(state, device, now)
  if (envelope === undefined || certificateStanding(state, envelope, now) !== undefined)
    return undefined
  const endpoints = state.endpoints.get(device)
  return {
    certificate: envelope.body,
    envelope,
    endpoints: endpoints !== undefined && now < endpoints.body.notAfter ? endpoints : undefined,
  }
}

/** All members by device, in the order of their ids. */
export function membersOf(state: OrganizationState, now: Seconds): ReadonlyMap<DeviceId, Member> {
  const devices = new Set([...state.memberships.values()].map(({ body }) => body.device))
  const members = new Map<DeviceId, Member>()
  for (const device of [...devices].toSorted()) {
    const member = memberOf(state, device, now)
    if (member !== undefined) members.set(device, member)
  }
  return members
}

/** One device's believed claim on a prefix. */
export interface RouteClaim {
  readonly device: DeviceId
  readonly prefix: Prefix
  readonly envelope: EnvelopeOf<'route-advertisement'>
}
