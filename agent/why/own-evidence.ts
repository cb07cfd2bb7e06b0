/** This device's evidence about the path between it and one other. */
import { toHex } from '../../crypto/bytes.ts'
import type { Endpoint } from '../../protocol/address.ts'
import { currentManifest, memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Candidate, NatMapping } from '../../protocol/endpoint-update.ts'
import type { Evidence, WireguardEvidence } from '../../protocol/evidence.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import {
  CANDIDATES,
  EVIDENCE_LINKS,
  EVIDENCE_PREFIXES,
  EVIDENCE_RELAYS,
} from '../../protocol/limits.ts'
import type { Knowledge } from '../knowledge.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Relays } from '../mesh/relays.ts'
import { noPathFacts, type PathFacts } from '../path/path-evidence.ts'
import type { Paths } from '../path/paths.ts'
import { type Plan, TAKEN } from '../plan.ts'
import type { PolicyEnforcement } from '../policy-enforcement.ts'
import type { Tunnel } from '../tunnel/backend.ts'

/** What of the daemon evidence is made of. */
export interface WhySource {
  readonly device: DeviceId
  readonly plan: Plan
  readonly enforcement: Pick<PolicyEnforcement, 'status'>
  readonly local: { readonly candidates: readonly Candidate[]; readonly natMapping: NatMapping }
  readonly join: { readonly name: string }
  readonly parts: {
    readonly paths: Pick<Paths, 'evidence'> | undefined
    readonly relays: Pick<Relays, 'names'> | undefined
    readonly mesh: Pick<Mesh, 'why' | 'connections'> | undefined
  }
  readonly options: {
    readonly system: string
    readonly listenPort: number
    readonly knowledge: Pick<Knowledge, 'state' | 'onChange'>
    readonly tunnel: Pick<Tunnel, 'stats'>
    readonly clock: Pick<Clock, 'now' | 'nowMs'>
  }
}

/** Throws what the tunnel throws. */
export async function ownEvidence(daemon: WhySource, to: DeviceId): Promise<Evidence> {
  const { options, device, local, plan } = daemon
  const { paths, relays, mesh } = daemon.parts
  const { clock, knowledge } = options
  const found = paths?.evidence(to) ?? noPathFacts('unknown')
  const wireguard = await wireguardOf(daemon, to, found)
  const [state, now] = [knowledge.state(), clock.now()]
  return {
    system: options.system,
    listenPort: options.listenPort,
    mtu: plan.tunnel.mtu,
    udp: found.udp,
    natMapping: local.natMapping,
    candidates: local.candidates.slice(0, CANDIDATES),
    path: found.path,
    pairs: found.pairs,
    relay: { ...found.relay, names: (relays?.names(to) ?? []).slice(0, EVIDENCE_RELAYS) },
    drops: found.drops,
    wireguard,
    certificateNotAfter: memberOf(state, device, now)?.certificate.notAfter,
    manifestSequence: currentManifest(state, now)?.body.sequence ?? 0,
    policyUnderstood: plan.policyUnderstood,
    links: (mesh?.connections() ?? [])
      .filter((connection) => connection.device === to)
      .map(({ kind }) => kind)
      .slice(0, EVIDENCE_LINKS),
    leftOut: plan.leftOut
      .filter((each) => each.device === to)
      .map(
        ({ prefix, reason }) => ({ prefix, reason: reason === TAKEN ? 'other' : reason }) as const,
      )
      .slice(0, EVIDENCE_PREFIXES),
    // Last, for the difference of two clocks is told from it.
    nowMs: clock.nowMs(),
  }
}

async function wireguardOf(
  { options, plan }: WhySource,
  to: DeviceId,
  { sessionMissingForMs }: PathFacts,
): Promise<WireguardEvidence | undefined> {
  const member = plan.peers.get(to)
  if (member === undefined) return undefined
  const key = toHex(member.certificate.wireguardKey)
  const stats = (await options.tunnel.stats()).find(({ publicKey }) => toHex(publicKey) === key)
  if (stats === undefined) return undefined
  const handshakeAgoMs = (options.clock.now() - stats.latestHandshake) * 1000
  return {
    handshakeAgoMs: stats.latestHandshake > 0 ? Math.max(0, handshakeAgoMs) : undefined,
    missingForMs: sessionMissingForMs,
    receivedBytes: stats.receivedBytes,
    sentBytes: stats.sentBytes,
    endpoint: outside(stats.endpoint),
  }
}

/** Undefined for the agent's own loopback socket. */
function outside(endpoint: Endpoint | undefined): Endpoint | undefined {
  return endpoint?.address.startsWith('127.') === true ? undefined : endpoint
}
