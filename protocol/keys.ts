/** The keys of the trust chain by role, and the ids derived from them (SPEC §2). */
import { type Brand, concat, fromBase32, toBase32, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import {
  parseSigningPublicKey,
  type SigningKeyPair,
  type SigningPublicKey,
} from '../crypto/signing.ts'
import { MalformedError } from './errors.ts'

export type RootPublicKey = SigningPublicKey<'root'>
export type IssuerPublicKey = SigningPublicKey<'issuer'>
export type DevicePublicKey = SigningPublicKey<'device'>
export type RootKeyPair = SigningKeyPair<'root'>
export type IssuerKeyPair = SigningKeyPair<'issuer'>
export type DeviceKeyPair = SigningKeyPair<'device'>

/** 26 characters: base32 of 16 bytes of the hash of the root public key. Names its own root. */
export type OrganizationId = Brand<string, 'OrganizationId'>
/** 52 characters: base32 of the device's Ed25519 public key. */
export type DeviceId = Brand<string, 'DeviceId'>

const ORGANIZATION_CONTEXT = utf8('nexodus organization')

export function organizationIdOf(root: RootPublicKey): OrganizationId {
  return toBase32(sha256(concat(ORGANIZATION_CONTEXT, root)).subarray(0, 16)) as OrganizationId
}

/** Throws MalformedError unless it is 26 base32 characters. */
export function parseOrganizationId(text: string): OrganizationId {
  if (text.length !== 26) throw new MalformedError(`organization id "${text.slice(0, 40)}"`)
  try {
    fromBase32(text)
  } catch (cause) {
    throw new MalformedError(`organization id "${text}"`, { cause })
  }
  return text as OrganizationId
}

export function deviceIdOf(key: DevicePublicKey): DeviceId {
  return toBase32(key) as DeviceId
}

/** The key behind an id. Throws MalformedError. */
export function deviceKeyOf(id: DeviceId): DevicePublicKey {
  return parseKey(fromBase32Checked(id), 'device id')
}

/** Throws MalformedError unless it names a valid Ed25519 key. */
export function parseDeviceId(text: string): DeviceId {
  if (text.length !== 52) throw new MalformedError(`device id "${text.slice(0, 60)}"`)
  return deviceIdOf(deviceKeyOf(text as DeviceId))
}

/** A public key that enters: strict point check, once. Throws MalformedError. */
export function parseKey<Role extends string>(
  bytes: Uint8Array,
  field: string,
): SigningPublicKey<Role> {
  try {
    return parseSigningPublicKey<Role>(bytes)
  } catch (cause) {
    throw new MalformedError(`${field}: not an Ed25519 public key`, { cause })
  }
}

function fromBase32Checked(text: string): Uint8Array {
  try {
    return fromBase32(text)
  } catch (cause) {
    throw new MalformedError(`device id "${text.slice(0, 60)}"`, { cause })
  }
}
