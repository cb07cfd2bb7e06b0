/** Short-term credentials of connectivity checks (RFC 8489 §9.1): two members need nothing but their
 *  certificates to have them (SPEC §10.2). */
import {
  type AgreementKeyPair,
  type AgreementPublicKey,
  sharedSecret,
} from '../crypto/agreement.ts'
import { EncodingError, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../crypto/bytes.ts'
import { hkdfSha256 } from '../crypto/hash.ts'
import { MalformedError } from './errors.ts'
import type { DeviceId } from './keys.ts'
import { type RelayAddress, relayAddressOf } from './relay.ts'

const INFO = utf8('nexodus stun v1')
const KEY_BYTES = 32
/** Base64url of the 9 bytes of a relay address. */
const NAME_CHARACTERS = 12

export interface CheckUsername {
  readonly receiver: RelayAddress
  readonly sender: RelayAddress
}

/** The integrity key of two devices, from their WireGuard keys: the same on both sides. 50 µs: keep it.
 *  Throws KeyError where the peer's key is of small order. */
export function checkKey(own: AgreementKeyPair, peer: AgreementPublicKey): Uint8Array {
  return hkdfSha256(sharedSecret(own.privateKey, peer), new Uint8Array(0), INFO, KEY_BYTES)
}

/** As in ICE (RFC 8445 §7.2.2): the receiver first. */
export function checkUsername(receiver: DeviceId, sender: DeviceId): string {
  return `${nameOf(receiver)}:${nameOf(sender)}`
}

/** Throws MalformedError. */
export function parseCheckUsername(username: string): CheckUsername {
  const [receiver = '', sender = '', extra] = username.split(':', 3)
  if (extra !== undefined) throw new MalformedError('STUN USERNAME: more than one colon')
  return { receiver: parseName(receiver), sender: parseName(sender) }
}

function nameOf(device: DeviceId): string {
  return toBase64url(fromHex(relayAddressOf(device)))
}

function parseName(name: string): RelayAddress {
  try {
    if (name.length === NAME_CHARACTERS) return toHex(fromBase64url(name))
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
  }
  throw new MalformedError(`STUN USERNAME: name of ${name.length} characters, want 12 of base64url`)
}
