/** Sync: two devices find what either lacks and send only that (SPEC §7.2). Pure: messages in, messages out. */
import { fromHex, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type Refusal, standingOf } from './belief.ts'
import { bytes, type Claims, integer, list } from './claims.ts'
import { type CborMap, type CborValue, decodeCborMap, encodeCbor } from './codec.ts'
import type { Envelope } from './envelope.ts'
import { MalformedError } from './errors.ts'
import { FRAME_BYTES } from './limits.ts'
import { envelopesOf, type OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

/** Buckets of the digest: with 1,000 devices about 12 envelopes each. */
const BUCKETS = 256
const HASH_BYTES = 8

/** What a state holds, in 2 kB: a hash a bucket, of the sorted ids of the envelopes in it. */
export interface Digest {
  /** BUCKETS × HASH_BYTES bytes; an empty bucket is all zero. */
  readonly hashes: Uint8Array
}

/** What travels in one sync; its order is in sync-exchange.ts. */
export type SyncMessage =
  | { readonly kind: 'summary'; readonly hash: Uint8Array }
  | { readonly kind: 'digest'; readonly digest: Digest }
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  | { readonly kind: 'envelopes'; readonly envelopes: readonly Uint8Array[] }
  | { readonly kind: 'end' }

/** Envelopes worth sending: believed ones, certificates that a revocation names, and those that wait for
 *  an approver, who must hear of them. */
export function syncable(state: OrganizationState, now: Seconds): ReadonlyMap<string, Envelope> {
  const sent = new Map<string, Envelope>()
  for (const envelope of envelopesOf(state)) {
    const standing = standingOf(state, envelope, now)
    const isEnded = 'notAfter' in envelope.body && envelope.body.notAfter <= now
    if (!isEnded && (standing === undefined || SENT_REFUSED.has(standing)))
      sent.set(envelope.id, envelope)
  }
  return sent
}

const SENT_REFUSED: ReadonlySet<Refusal> = new Set(['revoked', 'not-approved'])

export function digestOf(ids: Iterable<string>): Digest {
  const hashes = new Uint8Array(BUCKETS * HASH_BYTES)
  for (const [bucket, members] of Map.groupBy([...ids].toSorted(), bucketOf)) {
    hashes.set(sha256(fromHex(members.join(''))).subarray(0, HASH_BYTES), bucket * HASH_BYTES)
  }
  return { hashes }
}

function bucketOf(id: string): number {
  return Number.parseInt(id.slice(0, 2), 16)
}

/** Ids of ours in buckets that differ: the other finds in them what it lacks, and what we lack. */
export function idsToCompare(
  ids: Iterable<string>,
  ours: Digest,
  theirs: Digest,
): readonly string[] {
  return [...ids].filter((id) => differs(ours, theirs, bucketOf(id)))
}

/** A digest in 16 bytes: what two that agree send each other, and no more. */
export function summaryOf(digest: Digest): Uint8Array {
  return sha256(digest.hashes).subarray(0, SUMMARY_BYTES)
}

/** In frames: full ones are followed by another, the first that is not full ends the list. */
export function idFrames(ids: readonly string[]): readonly SyncMessage[] {
  const count = Math.floor(ids.length / IDS_IN_FRAME) + 1
  return Array.from({ length: count }, (_, index) => ({
    kind: 'ids',
    ids: ids.slice(index * IDS_IN_FRAME, (index + 1) * IDS_IN_FRAME),
  }))
}

export function isLastIdFrame(ids: readonly string[]): boolean {
  return ids.length < IDS_IN_FRAME
}

function differs(a: Digest, b: Digest, bucket: number): boolean {
  const range = [bucket * HASH_BYTES, (bucket + 1) * HASH_BYTES] as const
  const other = b.hashes.subarray(...range)
  return a.hashes.subarray(...range).some((byte, index) => byte !== other[index])
}

/** Envelopes of ours that `theirs` lacks, in frames that fit FRAME_BYTES; those that vouch come first. */
export function difference(
  ours: ReadonlyMap<string, Envelope>,
  compared: readonly string[],
  theirs: readonly string[],
): readonly SyncMessage[] {
  const known = new Set(theirs)
  const lacking = compared.filter((id) => !known.has(id)).flatMap((id) => ours.get(id) ?? [])
  const frames: Uint8Array[][] = []
  let room = 0
  for (const { bytes: envelope } of lacking) {
    if (room < envelope.length + 8) {
      frames.push([])
      room = FRAME_BYTES - 64
    }
    frames.at(-1)?.push(envelope)
    room -= envelope.length + 8
  }
  return frames.map((envelopes) => ({ kind: 'envelopes', envelopes }))
}

const KIND = { key: 1, name: 'kind' }
const BODY = { key: 2, name: 'body' }
const KINDS = ['digest', 'ids', 'envelopes', 'end', 'summary'] as const
const ID_BYTES = 16
const SUMMARY_BYTES = 16
/** Ids in one frame; an organization of 1,000 devices that shares nothing sends 2,000. */
export const IDS_IN_FRAME = Math.floor((FRAME_BYTES - 64) / (ID_BYTES + 1))

export function encodeSyncMessage(message: SyncMessage): Uint8Array {
  const map: CborMap = new Map<CborValue, CborValue>([[KIND.key, KINDS.indexOf(message.kind)]])
  if (message.kind === 'summary') map.set(BODY.key, message.hash)
  if (message.kind === 'digest') map.set(BODY.key, message.digest.hashes)
  if (message.kind === 'ids') map.set(BODY.key, message.ids.map(fromHex))
  if (message.kind === 'envelopes') map.set(BODY.key, [...message.envelopes])
  return encodeCbor(map)
}

/** Throws MalformedError. */
export function parseSyncMessage(frame: Uint8Array): SyncMessage {
  const claims: Claims = { what: 'sync message', map: decodeCborMap(frame, 'sync message') }
  const kind = KINDS[integer(claims, KIND, 0, KINDS.length - 1)] ?? 'end'
  switch (kind) {
    case 'summary':
      return { kind, hash: bytes(claims, BODY, SUMMARY_BYTES) }
    case 'digest':
      return { kind, digest: { hashes: bytes(claims, BODY, BUCKETS * HASH_BYTES) } }
    case 'ids':
      return {
        kind,
        ids: list(claims, BODY, IDS_IN_FRAME, (item) => toHex(bytesItem(item, ID_BYTES))),
      }
    case 'envelopes':
      return { kind, envelopes: list(claims, BODY, 1024, (item) => bytesItem(item)) }
    case 'end':
      return { kind }
  }
}

function bytesItem(item: CborValue, length?: number): Uint8Array {
  if (!(item instanceof Uint8Array) || (length !== undefined && item.length !== length)) {
    throw new MalformedError(
      `sync message: want bytes${length === undefined ? '' : ` of ${length}`}`,
    )
  }
  return item
}
