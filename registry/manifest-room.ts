/** Manifest room: what of a manifest names and policy may take, so that whatever is to be revoked fits beside them. */
import { fromBase64 } from '../crypto/bytes.ts'
import { encodeCbor } from '../protocol/codec.ts'
import { MalformedError } from '../protocol/errors.ts'
import { MANIFEST_BYTES, RENDEZVOUS, REVOCATIONS } from '../protocol/limits.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import { encodeOrganizationNames } from '../protocol/organization-names.ts'
import { type NamesRecord, namesOfRecord } from './names-record.ts'
import type { SavedPolicy } from './policy-record.ts'

/** Bytes of a revocation: a serial of 8 bytes, a moment, and how long each is. */
const REVOCATION_BYTES = 15
/** Bytes of all rendezvous: of 8 registries 500 each, which is six multiaddrs and four STUN endpoints. */
const RENDEZVOUS_BYTES = 4096
/** Bytes of the rest, 700 at most: header, signature, name, ranges, issuers and what is in the manifest once. */
const OTHER_BYTES = 1024
/** Bytes of names and policy together. */
export const NAMES_AND_POLICY_BYTES =
  MANIFEST_BYTES - REVOCATIONS * REVOCATION_BYTES - RENDEZVOUS_BYTES - OTHER_BYTES

/** Bytes that the names take in a manifest. Throws MalformedError. */
export function bytesOfNames(names: NamesRecord | undefined): number {
  if (names === undefined) return 0
  return encodeCbor(encodeOrganizationNames(namesOfRecord(names))).length
}

/** Bytes that the policy takes in a manifest. */
export function bytesOfPolicy(saved: Pick<SavedPolicy, 'body'> | undefined): number {
  return saved === undefined ? 0 : fromBase64(saved.body).length
}

/** Throws MalformedError. */
export function checkRoom(ofNames: number, ofPolicy: number): void {
  if (ofNames + ofPolicy <= NAMES_AND_POLICY_BYTES) return
  throw new MalformedError(
    `manifest: names take ${ofNames} bytes and the policy ${ofPolicy}, want at most ${NAMES_AND_POLICY_BYTES} together (shorten one of them)`,
  )
}

/** The first of these, as far as a manifest has room for them. */
export function namedRendezvous(meetings: readonly Rendezvous[]): readonly Rendezvous[] {
  const fits = (count: number) =>
    encodeCbor(meetings.slice(0, count).map((each) => [[...each.multiaddrs], [...each.stun]]))
      .length <= RENDEZVOUS_BYTES
  let count = Math.min(meetings.length, RENDEZVOUS)
  while (count > 0 && !fits(count)) count -= 1
  return meetings.slice(0, count)
}
