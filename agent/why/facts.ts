/** Facts: what is known when somebody asks why a peer is reached as it is. */
import type { Refusal } from '../../protocol/belief.ts'
import type { NatMapping } from '../../protocol/endpoint-update.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { WhyReply } from '../mesh/why-stream.ts'
import type { PolicyFacts } from './policy-facts.ts'

/** A device as people name it. */
export interface Named {
  readonly name: string
  readonly device: DeviceId
}

/** What the peer's last endpoint update said. */
export interface UpdateFacts {
  /** Seconds. */
  readonly age: number
  readonly natMapping: NatMapping
  /** `host 192.0.2.1:51820` */
  readonly candidates: readonly string[]
  readonly system: string
}

export interface WhyFacts {
  readonly now: Seconds
  readonly self: Named
  readonly peer: Named
  /** Of this side. */
  readonly ours: Evidence
  /** What the peer answered when it was asked for its side. */
  readonly reply: WhyReply
  /** Why this device, or the peer, is no member; undefined: it is one. */
  readonly ownStanding: Refusal | undefined
  readonly standing: Refusal | undefined
  /** The peer's newest certificate that was ever seen here. */
  readonly certificate: { readonly notBefore: Seconds; readonly notAfter: Seconds } | undefined
  readonly update: UpdateFacts | undefined
  readonly policy: PolicyFacts
  readonly registry: {
    /** By the mesh, now. */
    readonly connected: boolean
    /** At the last renewal. */
    readonly reachable: boolean
  }
  /** Mesh connections of this device, to anybody. */
  readonly connections: number
}

/** The peer's own evidence, where it answered. */
export function theirsOf({ reply }: WhyFacts): Evidence | undefined {
  return reply.kind === 'answered' ? reply.evidence : undefined
}
