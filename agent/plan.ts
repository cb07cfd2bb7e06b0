/** Plan: from what is believed to the tunnel that is wanted. Pure; `diffTunnel` finds what to change. */
import type { AgreementKeyPair, AgreementPublicKey } from '../crypto/agreement.ts'
import { toHex } from '../crypto/bytes.ts'
import {
  type AddressFamily,
  addressFamily,
  isDefaultPrefix,
  isHostPrefix,
  networkOf,
  type Prefix,
  prefixAddress,
  prefixesOverlap,
  prefixLength,
} from '../protocol/address.ts'
import { currentManifest, type Member, membersOf, type RouteClaim } from '../protocol/belief.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { policyRules } from '../protocol/policy.ts'
import { NO_RULES, type PolicyRules } from '../protocol/policy-rules.ts'
import { routeClaims } from '../protocol/route-claims.ts'
import type { OrganizationState } from '../protocol/state.ts'
import type { Seconds } from '../protocol/time.ts'
import type { Aliases } from './firewall/firewall.ts'
import { carriedBy, carriedMembers, type Share } from './organizations/share.ts'
import { isSameAliases, type Late, latePrefixes } from './plan-late.ts'
import { BY_RANK, isOwnRoute, type RouteChoice } from './routes/route-choice.ts'
import type { TunnelConfig, TunnelPeer } from './tunnel/backend.ts'

/** This device's side of the tunnel. */
export interface Self {
  readonly device: DeviceId
  readonly wireguardKey: AgreementKeyPair
  readonly listenPort: number
  /** Bytes of the interface's MTU. */
  readonly mtu: number
  /** Subnets this host is attached to by other interfaces: no route of ours may cover them. */
  readonly localPrefixes: readonly Prefix[]
  /** Where routes of others lead on this host: what is advertised takes nothing from them; absent: nowhere. */
  readonly foreignNetworks?: readonly Prefix[]
  /** What other organizations of this host leave to this one; undefined: it is alone here. */
  readonly share?: Share | undefined
}

/** A prefix that was left out of the tunnel, and why: for status and logs. */
export interface LeftOut {
  readonly prefix: Prefix
  readonly device: DeviceId
  readonly reason: 'held by another device' | 'overlaps a local network' | typeof TAKEN
}

export const TAKEN = 'another organization of this host has it'

export interface Plan {
  readonly tunnel: TunnelConfig
  readonly peers: ReadonlyMap<DeviceId, Member>
  readonly leftOut: readonly LeftOut[]
  /** What others may send through this device: its believed claims that are no addresses of its own. */
  readonly routed: readonly Prefix[]
  /** False where the manifest's policy is of a version this program does not know: nothing passes. */
  readonly policyUnderstood: boolean
  /** Undefined where it is not understood. */
  readonly policy: PolicyRules | undefined
  readonly own: Member | undefined
  /** This device's addresses, and every prefix that it holds or routes. */
  readonly ownPrefixes: readonly Prefix[]
  readonly aliases: Aliases
  /** What lies inside the tunnels of other organizations of this host. */
  readonly elsewhere: readonly Prefix[]
}

/** Total: never throws. The same state, self, time and choice give the same plan. */
export function plan(
  state: OrganizationState,
  self: Self,
  now: Seconds,
  choice: RouteChoice = BY_RANK,
): Plan {
  const members = carriedMembers(membersOf(state, now), self.share)
  const mayCarry = carriedBy(self.share)
  const own = members.get(self.device)
  const manifest = currentManifest(state, now)?.body
  const policy = manifest === undefined ? NO_RULES : policyRules(manifest.policy)
  const policyUnderstood = policy !== undefined
  const claimed = heldPrefixes(state, self.device, now, choice)
  const { held, routed, claims, refused } = carriedRoutes(claimed, self)
  const peers = new Map(
    [...members].filter(([device]) => device !== self.device && own !== undefined),
  )
  const { byDevice, leftOut } = assign(own, peers, held, self)
  const view = { self: self.device, choice, claims, held, byDevice, peers, own, policy }
  const late = latePrefixes(view)
  const ownHeld = [...held].flatMap(([prefix, device]) => (device === self.device ? [prefix] : []))
  const ownHosts = ownHeld.filter(isHostPrefix)
  const served = [...choice.alsoServed].filter((each) => mayCarry(each) && !ownHosts.includes(each))
  const addresses = [...(own?.certificate.addresses ?? []), ...ownHosts, ...served]
  return {
    tunnel: {
      privateKey: self.wireguardKey,
      listenPort: self.listenPort,
      mtu: self.mtu,
      addresses,
      peers: new Map([...peers.values()].map((member) => tunnelPeer(member, byDevice, late))),
    },
    peers,
    leftOut: [...leftOut, ...refused],
    routed,
    policyUnderstood,
    policy,
    own,
    ownPrefixes: [...new Set([...addresses, ...ownHeld, ...routed])],
    aliases: late.aliases,
    elsewhere: self.share?.others ?? [],
  }
}

interface Routes {
  /** Who carries each prefix. */
  readonly held: ReadonlyMap<Prefix, DeviceId>
  /** What this device claims for others. */
  readonly routed: readonly Prefix[]
  /** Those believed, by prefix. */
  readonly claims: ReadonlyMap<Prefix, readonly RouteClaim[]>
}

function heldPrefixes(
  state: OrganizationState,
  self: DeviceId,
  now: Seconds,
  choice: RouteChoice,
): Routes {
  const all = routeClaims(state, now)
  const held = new Map<Prefix, DeviceId>()
  const routed: Prefix[] = []
  for (const [prefix, claims] of all) {
    const holder = isOwnRoute(self, prefix, claims) ? self : choice.holder(prefix, claims)
    if (holder !== undefined) held.set(prefix, holder)
    if (!isHostPrefix(prefix) && claims.some(({ device }) => device === self)) routed.push(prefix)
  }
  return { held, routed, claims: all }
}

/** Without what other organizations have. A default route that this device offers leads nothing of its host away. */
function carriedRoutes(
  { held, routed, claims }: Routes,
  { device: self, share }: Self,
): Routes & { readonly refused: readonly LeftOut[] } {
  const mayCarry = carriedBy(share)
  const isCarried = (prefix: Prefix, device: DeviceId): boolean =>
    (device === self && isDefaultPrefix(prefix)) || mayCarry(prefix)
  const refused = [...held].filter(([prefix, device]) => !isCarried(prefix, device))
  return {
    held: new Map([...held].filter(([prefix, device]) => isCarried(prefix, device))),
    routed: routed.filter((prefix) => isCarried(prefix, self)),
    claims,
    refused: refused.map(([prefix, device]) => ({ prefix, device, reason: TAKEN })),
  }
}

/** Each prefix goes to one device: an address of a certificate, this device's first, before an advertised one. */
function assign(
  own: Member | undefined,
  peers: ReadonlyMap<DeviceId, Member>,
  held: ReadonlyMap<Prefix, DeviceId>,
  self: Self,
): { byDevice: ReadonlyMap<DeviceId, readonly Prefix[]>; leftOut: readonly LeftOut[] } {
  const taken = new Map<Prefix, DeviceId>()
  const leftOut: LeftOut[] = []
  const [isLocal, isForeign] = [localIn(self), foreignIn(self)]
  const give = (prefix: Prefix, device: DeviceId): void => {
    // A route into the tunnel would cut this host off from a neighbour, or from its gateway.
    if (!isDefaultPrefix(prefix) && isLocal(prefix))
      leftOut.push({ prefix, device, reason: 'overlaps a local network' })
    else if (taken.has(prefix)) leftOut.push({ prefix, device, reason: 'held by another device' })
    else taken.set(prefix, device)
  }
  for (const address of own?.certificate.addresses ?? []) taken.set(address, self.device)
  for (const [device, { certificate }] of peers) {
    for (const address of certificate.addresses) give(address, device)
  }
  for (const [prefix, device] of held) {
    if (!peers.has(device)) continue
    if (!isDefaultPrefix(prefix) && isForeign(prefix))
      leftOut.push({ prefix, device, reason: 'overlaps a local network' })
    else give(prefix, device)
  }
  const byDevice = Map.groupBy(taken, ([, device]) => device)
  return {
    byDevice: new Map(
      [...byDevice].map(([device, pairs]) => [device, pairs.map(([prefix]) => prefix)]),
    ),
    leftOut,
  }
}

function localIn({ localPrefixes }: Self): (prefix: Prefix) => boolean {
  return remembered(locals, localPrefixes, (prefix) =>
    localPrefixes.some((local) => prefixesOverlap(local, prefix)),
  )
}

/** Would a route of ours take something from one of others, by its metric or as the more specific one? */
function foreignIn({ foreignNetworks = [] }: Self): (prefix: Prefix) => boolean {
  const known = new Set(foreignNetworks)
  const lengths = [...new Set(foreignNetworks.map(prefixLength))]
  return remembered(foreign, foreignNetworks, (prefix) => {
    const narrow = lengths.filter(
      (length) => length >= NARROW[addressFamily(prefix)] && length < prefixLength(prefix),
    )
    return (
      known.has(prefix) ||
      narrow.some((length) => known.has(networkOf(prefixAddress(prefix), length)))
    )
  })
}

/** Bits: a route to less than that is for whatever nobody knows better, such as `10.0.0.0/8` by a company's gateway (of
 *  IPv6: a site's prefix, RFC 6177). */
const NARROW: Readonly<Record<AddressFamily, number>> = { 4: 16, 6: 48 }

interface Answers {
  networks: string
  answers: Map<Prefix, boolean>
}

/** Each plan asks it of every address, and taking addresses apart costs more than all the rest. */
function remembered(
  memory: Answers,
  networks: readonly Prefix[],
  ask: (prefix: Prefix) => boolean,
): (prefix: Prefix) => boolean {
  const text = networks.join(' ')
  if (memory.networks !== text || memory.answers.size > REMEMBERED)
    Object.assign(memory, { networks: text, answers: new Map() })
  const { answers } = memory
  return (prefix) => {
    const known = answers.get(prefix)
    if (known !== undefined) return known
    const answer = ask(prefix)
    answers.set(prefix, answer)
    return answer
  }
}
const locals: Answers = { networks: '', answers: new Map() }
const foreign: Answers = { networks: '', answers: new Map() }
const REMEMBERED = 65_536

function tunnelPeer(
  { certificate }: Member,
  byDevice: ReadonlyMap<DeviceId, readonly Prefix[]>,
  { late, byAlias }: Late,
): [string, TunnelPeer] {
  const publicKey: AgreementPublicKey = certificate.wireguardKey
  const allowedIps = (byDevice.get(certificate.device) ?? []).toSorted(byFamily)
  const lateIps = late.get(certificate.device)?.toSorted(byFamily)
  const aliasIps = byAlias.get(certificate.device)?.toSorted(byFamily)
  const others = { ...(lateIps && { lateIps }), ...(aliasIps && { aliasIps }) }
  return [toHex(publicKey), { publicKey, allowedIps, ...others, persistentKeepalive: 0 }]
}

function byFamily(a: Prefix, b: Prefix): number {
  return addressFamily(a) - addressFamily(b) || (a < b ? -1 : 1)
}

/** Is it the same in all that tunnel, paths and mesh are made of? */
export function isSamePlan(a: Plan, b: Plan): boolean {
  const [one, other] = [a.tunnel, b.tunnel]
  return (
    one.mtu === other.mtu &&
    one.listenPort === other.listenPort &&
    one.privateKey === other.privateKey &&
    a.policy === b.policy &&
    isSameMember(a.own, b.own) &&
    isSameList(one.addresses, other.addresses) &&
    isSameList(a.routed, b.routed) &&
    isSameList(a.ownPrefixes, b.ownPrefixes) &&
    isSameAliases(a.aliases, b.aliases) &&
    isSameList(a.elsewhere, b.elsewhere) &&
    a.leftOut.length === b.leftOut.length &&
    a.peers.size === b.peers.size &&
    [...a.peers].every(([device, member]) => isSameMember(member, b.peers.get(device))) &&
    [...one.peers].every(([key, peer]) => isSameTunnelPeer(peer, other.peers.get(key)))
  )
}

function isSameMember(a: Member | undefined, b: Member | undefined): boolean {
  return a?.envelope === b?.envelope && a?.endpoints === b?.endpoints
}

function isSameTunnelPeer(a: TunnelPeer, b: TunnelPeer | undefined): boolean {
  return (
    isSameList(a.allowedIps, b?.allowedIps ?? []) &&
    isSameList(a.lateIps ?? [], b?.lateIps ?? []) &&
    isSameList(a.aliasIps ?? [], b?.aliasIps ?? [])
  )
}

function isSameList(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index])
}
