/** Records of an organization's policy: the one in force, and every one before it. */
import { z } from 'zod'
import { fromBase64 } from '../crypto/bytes.ts'
import { decodeCborMap } from '../protocol/codec.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import { ALLOW_ALL, type Policy } from '../protocol/policy.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'

const SAVED = z.strictObject({
  /** From 1, without gaps. */
  revision: z.int(),
  /** As people wrote it. */
  text: z.string(),
  savedAt: z.int(),
  /** Who saved it, as people call them. */
  by: z.string(),
  /** Base64: the policy's body in manifests, version 1. */
  body: z.string(),
})
export type SavedPolicy = z.output<typeof SAVED>

/** By organization: the one in force. */
export const POLICY = collection('policy', SAVED)
/** By `<organization>/<revision, 12 digits>`: every one, that in force too. */
export const POLICY_HISTORY = collection('policy-history', SAVED)

export function policyHistoryId(organization: OrganizationId, revision: number): string {
  return `${organization}/${String(revision).padStart(12, '0')}`
}

/** What manifests carry: of an organization that never saved one, version 0. */
export async function policyInForce(
  transaction: Pick<Transaction, 'get'>,
  organization: OrganizationId,
): Promise<Policy> {
  const saved = await transaction.get(POLICY, organization)
  if (saved === undefined) return ALLOW_ALL
  return { version: 1, body: decodeCborMap(fromBase64(saved.body), 'policy') }
}
