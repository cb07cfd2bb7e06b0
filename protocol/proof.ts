/** Proof: a fresh signature that shows possession of a key to one asker, for one purpose (SPEC §7.1). */
import { equal } from '../crypto/bytes.ts'
import { bytes, type Claims, moment, text } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import type { OrganizationId } from './keys.ts'
import { CLOCK_TOLERANCE, PROOF_LIFETIME, TEXT_CHARACTERS } from './limits.ts'
import type { Seconds } from './time.ts'

/** What a proof names while its signer does not know its organization yet: at enrolment. */
export const UNKNOWN_ORGANIZATION = 'a'.repeat(26) as OrganizationId

export type ProofPurpose = 'enrolment' | 'renewal' | 'hello' | 'root-forget'

export interface Proof {
  readonly purpose: string
  /** Who is to be convinced: a registry's public URL, or a peer id. */
  readonly audience: string
  /** Who speaks: a peer id in a hello, else empty. */
  readonly subject: string
  /** What the asker drew, or empty where the asker keeps a list of proofs seen. */
  readonly nonce: Uint8Array
  readonly issuedAt: Seconds
  /** The WireGuard key enrolled or renewed; empty in a hello. */
  readonly wireguardKey: Uint8Array
}

const ISSUED_AT = { key: 6, name: 'issuedAt' }
const PURPOSE = { key: -65537, name: 'purpose' }
const AUDIENCE = { key: -65538, name: 'audience' }
const SUBJECT = { key: -65539, name: 'subject' }
const NONCE = { key: -65540, name: 'nonce' }
const WIREGUARD_KEY = { key: -65541, name: 'WireGuard key' }

export function encodeProof(proof: Proof): CborMap {
  return new Map<CborValue, CborValue>([
    [ISSUED_AT.key, proof.issuedAt],
    [PURPOSE.key, proof.purpose],
    [AUDIENCE.key, proof.audience],
    [SUBJECT.key, proof.subject],
    [NONCE.key, proof.nonce],
    [WIREGUARD_KEY.key, proof.wireguardKey],
  ])
}

/** Throws MalformedError. */
export function parseProof(claims: Claims): Proof {
  return {
    purpose: text(claims, PURPOSE, TEXT_CHARACTERS),
    audience: text(claims, AUDIENCE, 512),
    subject: text(claims, SUBJECT, TEXT_CHARACTERS),
    nonce: bytes(claims, NONCE, { most: 32 }),
    issuedAt: moment(claims, ISSUED_AT),
    wireguardKey: bytes(claims, WIREGUARD_KEY, { most: 32 }),
  }
}

/** What keeps a proof from convincing, or undefined. */
export function proofProblem(
  proof: Proof,
  wanted: { purpose: ProofPurpose; audience: string; nonce: Uint8Array },
  now: Seconds,
): 'purpose' | 'audience' | 'nonce' | 'clock' | undefined {
  if (proof.purpose !== wanted.purpose) return 'purpose'
  if (proof.audience !== wanted.audience) return 'audience'
  if (!equal(proof.nonce, wanted.nonce)) return 'nonce'
  const age = now - proof.issuedAt
  return age > PROOF_LIFETIME || age < -CLOCK_TOLERANCE ? 'clock' : undefined
}
