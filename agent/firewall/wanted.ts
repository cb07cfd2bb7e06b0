/** Wanted firewall: what the plan asks of it. Pure. */
import { toHex } from '../../crypto/bytes.ts'
import type { Prefix } from '../../protocol/address.ts'
import type { Member } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { PolicyMember } from '../../protocol/policy-holders.ts'
import type { Plan } from '../plan.ts'
import type { FirewallConfig } from './firewall.ts'

/** TCP ports of the mesh at others that are let out; more are of no use to anybody. */
const MESH_PORTS = 64

/** Undefined where nothing passes anyhow: no member, or a policy that is not understood.
 *  @param ownMultiaddrs where the mesh listens @param without prefixes that are nobody's for the moment */
export function wantedFirewall(
  plan: Plan,
  ownMultiaddrs: readonly string[],
  without: ReadonlySet<Prefix> = new Set(),
): FirewallConfig | undefined {
  const { own, policy } = plan
  if (own === undefined || policy === undefined) return undefined
  const others = [...plan.peers.values()].flatMap(
    ({ endpoints }) => endpoints?.body.multiaddrs ?? [],
  )
  return {
    policy,
    own: memberOf(own, plan.ownPrefixes),
    peers: peersOf(plan).map((peer) => ({
      ...peer,
      prefixes: peer.prefixes.filter((prefix) => !without.has(prefix)),
    })),
    aliases: plan.aliases,
    meshPorts: { own: tcpPorts(ownMultiaddrs), others: tcpPorts(others).slice(0, MESH_PORTS) },
  }
}

/** The others as the policy sees them: with the prefixes from which WireGuard lets them send. */
export function peersOf({ peers, tunnel }: Plan): readonly PolicyMember[] {
  return [...peers.values()].map((member) =>
    memberOf(member, tunnel.peers.get(toHex(member.certificate.wireguardKey))?.allowedIps ?? []),
  )
}

export function memberOf(
  { certificate: { name, owner, groups } }: Member,
  prefixes: readonly Prefix[],
): PolicyMember {
  return { name, owner, groups, prefixes }
}

/** Whose each prefix is. */
export function holdersOf({ peers, tunnel }: Plan): ReadonlyMap<Prefix, DeviceId> {
  return new Map(
    [...peers].flatMap(([device, { certificate }]) => {
      const allowedIps = tunnel.peers.get(toHex(certificate.wireguardKey))?.allowedIps ?? []
      return allowedIps.map((prefix): [Prefix, DeviceId] => [prefix, device])
    }),
  )
}

/** Of multiaddrs that need no relay; in order, each once. */
function tcpPorts(multiaddrs: readonly string[]): readonly number[] {
  const ports = multiaddrs
    .filter((text) => !text.includes('/p2p-circuit'))
    .map((text) => Number(/\/tcp\/(\d{1,5})(?:\/|$)/.exec(text)?.[1]))
    .filter((port) => port >= 1 && port <= 65_535)
  return [...new Set(ports)].toSorted((a, b) => a - b)
}
