/** Manifest: the issuer's numbered, chained statement about the whole organization (SPEC §5). */
import { toHex } from '../crypto/bytes.ts'
import type { Prefix } from './address.ts'
import { bytes, type Claims, integer, list, moment, text, texts } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { prefixItem } from './issuer-certificate.ts'
import { type IssuerPublicKey, parseKey } from './keys.ts'
import {
  ISSUERS,
  MULTIADDRS,
  RANGES,
  RENDEZVOUS,
  REVOCATIONS,
  SERIAL_BYTES,
  TEXT_CHARACTERS,
} from './limits.ts'
import {
  encodeOrganizationNames,
  NO_NAMES,
  type OrganizationNames,
  parseOrganizationNames,
} from './organization-names.ts'
import { encodePolicy, type Policy, parsePolicy } from './policy.ts'
import { type Seconds, seconds } from './time.ts'

export interface Revocation {
  /** 16 hex digits. */
  readonly serial: string
  /** When the certificate would have ended: then the revocation may leave the manifest. */
  readonly notAfter: Seconds
}

/** Where devices of the organization meet: a registry's, or a member's with the relay role. */
export interface Rendezvous {
  readonly multiaddrs: readonly string[]
  /** `address:port` of its STUN responder. */
  readonly stun: readonly string[]
}

export interface Manifest {
  /** From 1, without gaps. */
  readonly sequence: number
  /** SHA-256 of the manifest envelope before; empty in the first. */
  readonly previous: Uint8Array
  readonly issuedAt: Seconds
  /** The organization's name, for people. */
  readonly name: string
  readonly ranges: readonly Prefix[]
  readonly revocations: ReadonlyMap<string, Seconds>
  /** Issuers whose certificates count. */
  readonly issuers: readonly IssuerPublicKey[]
  readonly rendezvous: readonly Rendezvous[]
  readonly policy: Policy
  readonly names: OrganizationNames
}

const ISSUED_AT = { key: 6, name: 'issuedAt' }
const SEQUENCE = { key: -65537, name: 'sequence' }
const PREVIOUS = { key: -65538, name: 'previous' }
const NAME = { key: -65539, name: 'name' }
const RANGE = { key: -65540, name: 'ranges' }
const REVOCATION = { key: -65541, name: 'revocations' }
const ISSUER = { key: -65542, name: 'issuers' }
const MEETING = { key: -65543, name: 'rendezvous' }
const POLICY = { key: -65544, name: 'policy' }
const NAMES = { key: -65545, name: 'names' }

export function encodeManifest(
  manifest: Omit<Manifest, 'revocations' | 'names'> & { readonly names?: OrganizationNames },
  revocations: readonly { serial: Uint8Array; notAfter: Seconds }[],
): CborMap {
  const { names = NO_NAMES } = manifest
  const hasNames = names.records.length + names.forwards.length > 0
  return new Map<CborValue, CborValue>([
    [ISSUED_AT.key, manifest.issuedAt],
    [SEQUENCE.key, manifest.sequence],
    [PREVIOUS.key, manifest.previous],
    [NAME.key, manifest.name],
    [RANGE.key, [...manifest.ranges]],
    [REVOCATION.key, revocations.map(({ serial, notAfter }) => [serial, notAfter])],
    [ISSUER.key, [...manifest.issuers]],
    [MEETING.key, manifest.rendezvous.map((each) => [[...each.multiaddrs], [...each.stun]])],
    [POLICY.key, encodePolicy(manifest.policy)],
    ...(hasNames ? [[NAMES.key, encodeOrganizationNames(names)] as const] : []),
  ])
}

/** Throws MalformedError. */
export function parseManifest(claims: Claims): Manifest {
  const sequence = integer(claims, SEQUENCE, 1, 2 ** 48)
  return {
    sequence,
    previous: bytes(claims, PREVIOUS, sequence === 1 ? 0 : 32),
    issuedAt: moment(claims, ISSUED_AT),
    name: text(claims, NAME, TEXT_CHARACTERS),
    ranges: list(claims, RANGE, RANGES, prefixItem),
    revocations: new Map(list(claims, REVOCATION, REVOCATIONS, revocationItem)),
    issuers: list(claims, ISSUER, ISSUERS, issuerItem),
    rendezvous: list(claims, MEETING, RENDEZVOUS, rendezvousItem),
    policy: parsePolicy(claims.map.get(POLICY.key)),
    names: parseOrganizationNames(claims.map.get(NAMES.key)),
  }
}

function revocationItem(item: CborValue): [string, Seconds] {
  const [serial, notAfter] = Array.isArray(item) && item.length === 2 ? item : []
  if (
    !(serial instanceof Uint8Array) ||
    serial.length !== SERIAL_BYTES ||
    typeof notAfter !== 'number'
  ) {
    throw new MalformedError('revocation: want [serial of 8 bytes, notAfter]')
  }
  return [toHex(serial), seconds(notAfter)]
}

function issuerItem(item: CborValue): IssuerPublicKey {
  if (!(item instanceof Uint8Array)) throw new MalformedError('manifest: issuers must be bytes')
  return parseKey(item, 'manifest: issuer')
}

function rendezvousItem(item: CborValue): Rendezvous {
  if (!Array.isArray(item) || item.length !== 2) {
    throw new MalformedError('rendezvous: want [multiaddrs, STUN endpoints]')
  }
  const claims: Claims = {
    what: 'rendezvous',
    map: new Map(item.map((each, index) => [index, each])),
  }
  return {
    multiaddrs: texts(claims, { key: 0, name: 'multiaddrs' }, MULTIADDRS, TEXT_CHARACTERS * 2),
    stun: texts(claims, { key: 1, name: 'STUN endpoints' }, MULTIADDRS, 64),
  }
}
