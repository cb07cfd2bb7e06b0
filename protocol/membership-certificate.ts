/** Membership certificate: the organization's statement about one device (SPEC §4.2). */
import { type AgreementPublicKey, parseAgreementPublicKey } from '../crypto/agreement.ts'
import { toHex } from '../crypto/bytes.ts'
import { isHostPrefix, type Prefix } from './address.ts'
import { bytes, type Claims, type Field, integer, list, moment, text, texts } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { prefixItem } from './issuer-certificate.ts'
import { type DeviceId, type DevicePublicKey, deviceIdOf, parseKey } from './keys.ts'
import {
  ADDRESSES,
  GROUPS,
  MEMBERSHIP_CERTIFICATE_LIFETIME,
  NAME_CHARACTERS,
  PREFIXES,
  SERIAL_BYTES,
  TEXT_CHARACTERS,
} from './limits.ts'
import type { Seconds } from './time.ts'

export const ROLES = ['relay', 'router', 'exit-node'] as const
export type Role = (typeof ROLES)[number]

export interface MembershipCertificate {
  /** 16 hex digits, random; what a revocation names. */
  readonly serial: string
  readonly device: DeviceId
  readonly deviceKey: DevicePublicKey
  readonly wireguardKey: AgreementPublicKey
  /** One DNS label, lower case. */
  readonly name: string
  /** For people: who brought the device in. */
  readonly owner: string
  /** /32 and /128 prefixes; unique, because the registry allocates them. */
  readonly addresses: readonly Prefix[]
  readonly groups: readonly string[]
  /** What the device may advertise; a prefix inside one of these is allowed too. */
  readonly prefixes: readonly Prefix[]
  /** Known roles only; later versions may name further ones. */
  readonly roles: readonly Role[]
  readonly notBefore: Seconds
  readonly notAfter: Seconds
  /** The manifest's sequence when this was issued. */
  readonly manifestSequence: number
}

const NOT_AFTER = { key: 4, name: 'notAfter' }
const NOT_BEFORE = { key: 5, name: 'notBefore' }
const SERIAL = { key: 7, name: 'serial' }
const DEVICE_KEY = { key: -65537, name: 'device key' }
const WIREGUARD_KEY = { key: -65538, name: 'WireGuard key' }
const NAME = { key: -65539, name: 'name' }
const OWNER = { key: -65540, name: 'owner' }
const ADDRESS = { key: -65541, name: 'addresses' }
const GROUP = { key: -65542, name: 'groups' }
const PREFIX = { key: -65543, name: 'prefixes' }
const ROLE = { key: -65544, name: 'roles' }
const SEQUENCE = { key: -65545, name: 'manifest sequence' }

export function encodeMembershipCertificate(
  certificate: Omit<MembershipCertificate, 'device'>,
  serial: Uint8Array,
): CborMap {
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, certificate.notAfter],
    [NOT_BEFORE.key, certificate.notBefore],
    [SERIAL.key, serial],
    [DEVICE_KEY.key, certificate.deviceKey],
    [WIREGUARD_KEY.key, certificate.wireguardKey],
    [NAME.key, certificate.name],
    [OWNER.key, certificate.owner],
    [ADDRESS.key, [...certificate.addresses]],
    [GROUP.key, [...certificate.groups]],
    [PREFIX.key, [...certificate.prefixes]],
    [ROLE.key, [...certificate.roles]],
    [SEQUENCE.key, certificate.manifestSequence],
  ])
}

/** Throws MalformedError. */
export function parseMembershipCertificate(claims: Claims): MembershipCertificate {
  const deviceKey = parseKey<'device'>(bytes(claims, DEVICE_KEY, 32), `${claims.what}: device key`)
  return {
    serial: toHex(bytes(claims, SERIAL, SERIAL_BYTES)),
    device: deviceIdOf(deviceKey),
    deviceKey,
    wireguardKey: wireguardKeyOf(claims, WIREGUARD_KEY),
    name: parseDeviceName(text(claims, NAME, NAME_CHARACTERS)),
    owner: text(claims, OWNER, TEXT_CHARACTERS),
    addresses: list(claims, ADDRESS, ADDRESSES, addressItem),
    groups: texts(claims, GROUP, GROUPS, TEXT_CHARACTERS),
    prefixes: list(claims, PREFIX, PREFIXES, prefixItem),
    roles: texts(claims, ROLE, 16, 32).filter(isRole),
    ...lifetime(claims),
    manifestSequence: integer(claims, SEQUENCE, 0, 2 ** 48),
  }
}

function lifetime(claims: Claims): { notBefore: Seconds; notAfter: Seconds } {
  const notBefore = moment(claims, NOT_BEFORE)
  const notAfter = moment(claims, NOT_AFTER)
  if (notAfter <= notBefore || notAfter - notBefore > MEMBERSHIP_CERTIFICATE_LIFETIME) {
    throw new MalformedError(
      `${claims.what}: lasts ${notAfter - notBefore} s, want 1 to ${MEMBERSHIP_CERTIFICATE_LIFETIME}`,
    )
  }
  return { notBefore, notAfter }
}

/** Throws MalformedError. */
export function wireguardKeyOf(claims: Claims, field: Field): AgreementPublicKey {
  const raw = bytes(claims, field, 32)
  try {
    return parseAgreementPublicKey(raw)
  } catch (cause) {
    throw new MalformedError(`${claims.what}: ${field.name}`, { cause })
  }
}

function addressItem(item: CborValue): Prefix {
  const prefix = prefixItem(item)
  if (!isHostPrefix(prefix)) throw new MalformedError(`address "${prefix}": want a /32 or a /128`)
  return prefix
}

function isRole(role: string): role is Role {
  return (ROLES as readonly string[]).includes(role)
}

/** A lower-case DNS label (RFC 1035 §2.3.1, digits may lead). Throws MalformedError. */
export function parseDeviceName(name: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name
  throw new MalformedError(
    `device name "${name.slice(0, 80)}": want 1 to 63 of a-z, 0-9 and -, no - at either end`,
  )
}
