/** Relay attaching: a member joins a relay by UDP alone, in one round trip, before it has a stream there (SPEC §12.7).
 *  Both sign an ephemeral key; the session's key follows from the two (as in SIGMA, Krawczyk 2003, with the other
 *  end's identity known beforehand).
 *
 *    request  kind (1) | relay (9) | organization (16) | device (32) | key (32) | sent at (8) | signature (64)
 *    answer   kind (1) | session (8) | relay's key (32) | key (32) | signature (64) */
import {
  type AgreementKeyPair,
  type AgreementPrivateKey,
  type AgreementPublicKey,
  parseAgreementPublicKey,
  sharedSecret,
} from '../crypto/agreement.ts'
import { concat, fromBase32, fromHex, toBase32, toHex, utf8 } from '../crypto/bytes.ts'
import { hkdfSha256, sha256 } from '../crypto/hash.ts'
import { KeyError } from '../crypto/keys.ts'
import { type SigningKeyPair, type SigningPublicKey, sign, verify } from '../crypto/signing.ts'
import { MalformedError } from './errors.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceKeyOf,
  type OrganizationId,
  parseKey,
} from './keys.ts'
import { RELAY_ADDRESS_BYTES, type RelayAddress } from './relay.ts'
import { CONTROL_ADDRESS, SESSION_BYTES, SESSION_KEY_BYTES } from './relay-control.ts'
import { isRelayDatagram, type SessionKey } from './relay-udp.ts'

/** First bytes, beside those of relay datagrams. */
const [REQUEST, ANSWER] = [0xd2, 0xd3]
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const ORGANIZATION_BYTES = 16
const SENT_AT_BYTES = 8
export const ATTACH_REQUEST_BYTES =
  1 + RELAY_ADDRESS_BYTES + ORGANIZATION_BYTES + 2 * KEY_BYTES + SENT_AT_BYTES + SIGNATURE_BYTES
export const ATTACH_ANSWER_BYTES = 1 + SESSION_BYTES + 2 * KEY_BYTES + SIGNATURE_BYTES
const REQUEST_CONTEXT = utf8('nexodus relay attach request\n')
const ANSWER_CONTEXT = utf8('nexodus relay attach answer\n')
const SESSION_INFO = utf8('nexodus relay attach v1')

/** The relay that a request is for, where it is a registry, which has no relay address. */
export const ANY_REGISTRY: RelayAddress = CONTROL_ADDRESS

export interface AttachRequest {
  readonly to: RelayAddress
  readonly organization: OrganizationId
  readonly device: DeviceId
  readonly ephemeral: AgreementPublicKey
  /** Wall time, milliseconds; grows with each request of a device. */
  readonly sentAtMs: number
}

/** Who a relay is and signs as: a device, or a registry by the key of its peer id. */
export type RelayKeyPair = DeviceKeyPair | SigningKeyPair<'rendezvous'>
/** Base32 of a relay's public key; of a member its DeviceId. */
export type RelayId = string

/** Cheap: is it one, by its first byte and length? */
export function isAttachRequest(bytes: Uint8Array): boolean {
  return bytes[0] === REQUEST && bytes.length === ATTACH_REQUEST_BYTES
}

/** The same of what is for a relay's port in any way. */
export function isForRelay(bytes: Uint8Array): boolean {
  return isRelayDatagram(bytes, 'to-relay') || isAttachRequest(bytes)
}

export function sealAttachRequest(
  request: Omit<AttachRequest, 'device'>,
  key: DeviceKeyPair,
): Uint8Array {
  const sentAt = new Uint8Array(SENT_AT_BYTES)
  new DataView(sentAt.buffer).setBigUint64(0, BigInt(request.sentAtMs))
  const plain = concat(
    ...[Uint8Array.of(REQUEST), fromHex(request.to), fromBase32(request.organization)],
    ...[key.publicKey, request.ephemeral, sentAt],
  )
  return concat(plain, sign(key.privateKey, concat(REQUEST_CONTEXT, plain)))
}

/** What it says, its signature not yet looked at; undefined of what is none. */
export function parseAttachRequest(bytes: Uint8Array): AttachRequest | undefined {
  if (!isAttachRequest(bytes)) return undefined
  const next = reader(bytes)
  try {
    return {
      to: toHex(next(RELAY_ADDRESS_BYTES)),
      organization: toBase32(next(ORGANIZATION_BYTES)) as OrganizationId,
      device: toBase32(next(KEY_BYTES)) as DeviceId,
      ephemeral: parseAgreementPublicKey(next(KEY_BYTES)),
      sentAtMs: millisecondsOf(next(SENT_AT_BYTES)),
    }
  } catch (error) {
    if (error instanceof KeyError) return undefined
    throw error
  }
}

/** Did the device sign it? Of what `parseAttachRequest` read. */
export function isAuthenticRequest(bytes: Uint8Array, { device }: AttachRequest): boolean {
  try {
    return isSigned(bytes, REQUEST_CONTEXT, deviceKeyOf(device))
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}

/** @param bytes the request; @param session 8 bytes; @param ephemeral of this answer alone */
export function sealAttachAnswer(
  { ephemeral: theirs }: AttachRequest,
  bytes: Uint8Array,
  { key, session, ephemeral }: AttachAnswerParts,
): { readonly answer: Uint8Array; readonly keys: SessionKey } {
  const plain = concat(Uint8Array.of(ANSWER), session, key.publicKey, ephemeral.publicKey)
  const answer = concat(plain, sign(key.privateKey, concat(answerContext(bytes), plain)))
  return { answer, keys: sessionKey(session, ephemeral.privateKey, theirs, [bytes, answer]) }
}

export interface AttachAnswerParts {
  readonly key: RelayKeyPair
  readonly session: Uint8Array
  readonly ephemeral: AgreementKeyPair
}

/** Undefined unless it answers that very request and one of `relays` signed it.
 *  @param request as it was sent; @param ephemeral the private half of its key */
export function openAttachAnswer(
  answer: Uint8Array,
  request: Uint8Array,
  ephemeral: AgreementPrivateKey,
  relays: ReadonlySet<RelayId>,
): { readonly relay: RelayId; readonly keys: SessionKey } | undefined {
  if (answer[0] !== ANSWER || answer.length !== ATTACH_ANSWER_BYTES) return undefined
  const next = reader(answer)
  const [session, key, theirs] = [next(SESSION_BYTES), next(KEY_BYTES), next(KEY_BYTES)]
  const relay = toBase32(key)
  if (!relays.has(relay)) return undefined
  try {
    const context = answerContext(request)
    if (!isSigned(answer, context, parseKey<'rendezvous'>(key, 'relay'))) return undefined
    const other = parseAgreementPublicKey(theirs)
    return { relay, keys: sessionKey(session, ephemeral, other, [request, answer]) }
  } catch (error) {
    if (error instanceof KeyError || error instanceof MalformedError) return undefined
    throw error
  }
}

export function relayIdOf(publicKey: Uint8Array): RelayId {
  return toBase32(publicKey)
}

function reader(bytes: Uint8Array): (length: number) => Uint8Array {
  let at = 1
  return (length) => {
    at += length
    return bytes.slice(at - length, at)
  }
}

function millisecondsOf(bytes: Uint8Array): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0))
}

function isSigned(bytes: Uint8Array, context: Uint8Array, key: SigningPublicKey<string>): boolean {
  const plain = concat(context, bytes.subarray(0, -SIGNATURE_BYTES))
  return verify(key, plain, bytes.subarray(-SIGNATURE_BYTES))
}

function answerContext(request: Uint8Array): Uint8Array {
  return concat(ANSWER_CONTEXT, sha256(request))
}

/** The key belongs to these two messages and no others. */
function sessionKey(
  session: Uint8Array,
  ours: AgreementPrivateKey,
  theirs: AgreementPublicKey,
  messages: readonly Uint8Array[],
): SessionKey {
  const secret = sharedSecret(ours, theirs)
  const key = hkdfSha256(secret, sha256(...messages), SESSION_INFO, SESSION_KEY_BYTES)
  return { session: toHex(session), key }
}
