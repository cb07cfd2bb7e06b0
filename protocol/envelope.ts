/** Signed envelope: a kind, an organization, a signer and a body (SPEC §3). Seal makes one, open reads one. */
import { toBase32, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type Approval, parseApproval } from './approval.ts'
import { type Claims, text } from './claims.ts'
import { type CborMap, decodeCborMap } from './codec.ts'
import { encodeSigned, isSignedBy, parseSigned } from './cose.ts'
import { type EndpointUpdate, parseEndpointUpdate } from './endpoint-update.ts'
import { BadSignatureError, MalformedError } from './errors.ts'
import {
  type IssuerCertificate,
  isLocked,
  parseIssuerCertificate,
  parseLockedIssuerCertificate,
} from './issuer-certificate.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type IssuerKeyPair,
  type IssuerPublicKey,
  type OrganizationId,
  organizationIdOf,
  parseKey,
  parseOrganizationId,
  type RootKeyPair,
} from './keys.ts'
import { ENVELOPE_BYTES, MANIFEST_BYTES } from './limits.ts'
import { type Manifest, parseManifest } from './manifest.ts'
import { type MembershipCertificate, parseMembershipCertificate } from './membership-certificate.ts'
import { type Proof, parseProof } from './proof.ts'
import { parseRouteAdvertisement, type RouteAdvertisement } from './route-advertisement.ts'

/** What each kind says, and by whom it is signed. */
interface Bodies {
  readonly 'issuer-certificate': IssuerCertificate
  readonly 'membership-certificate': MembershipCertificate
  readonly approval: Approval
  readonly manifest: Manifest
  readonly 'endpoint-update': EndpointUpdate
  readonly 'route-advertisement': RouteAdvertisement
  readonly proof: Proof
}
export type Kind = keyof Bodies

/** An opened envelope: well-shaped and truly signed by `signer`. Says nothing of standing: see `apply`. */
export interface EnvelopeOf<K extends Kind> {
  readonly kind: K
  readonly organization: OrganizationId
  /** Base32 of the signing key: a DeviceId where a device signed. */
  readonly signer: string
  readonly signerKey: Uint8Array
  readonly body: Bodies[K]
  /** 32 hex digits of the hash of `bytes`. */
  readonly id: string
  /** As received: what is stored and forwarded. */
  readonly bytes: Uint8Array
}
export type Envelope = { [K in Kind]: EnvelopeOf<K> }[Kind]

const PARSERS: { readonly [K in Kind]: (claims: Claims) => Bodies[K] } = {
  'issuer-certificate': parseIssuerCertificate,
  'membership-certificate': parseMembershipCertificate,
  approval: parseApproval,
  manifest: parseManifest,
  'endpoint-update': parseEndpointUpdate,
  'route-advertisement': parseRouteAdvertisement,
  proof: parseProof,
}

const TYPE_PREFIX = 'nexodus/'
/** Behind the kind where it is not the first version. */
const LOCKED = '/2'
const ORGANIZATION = { key: 1, name: 'organization' }

/** 32 hex digits naming exactly these bytes. */
export function envelopeId(bytes: Uint8Array): string {
  return toHex(sha256(bytes).subarray(0, 16))
}

/** Signs a body made by the kind's `encode…` function. The organization is put in as claim 1. */
export function sealEnvelope(
  kind: Kind,
  organization: OrganizationId,
  claims: CborMap,
  key: RootKeyPair | IssuerKeyPair | DeviceKeyPair,
): Uint8Array {
  const payload: CborMap = new Map(claims).set(ORGANIZATION.key, organization)
  const version = kind === 'issuer-certificate' && isLocked(payload) ? LOCKED : ''
  return encodeSigned(TYPE_PREFIX + kind + version, payload, key)
}

/** Opens a signed envelope: checks size, shape, signer's key and signature, then meaning, in that order.
 *  Throws MalformedError or BadSignatureError and nothing else, whatever the bytes. */
export function openEnvelope(bytes: Uint8Array): Envelope {
  return open(bytes, isSignedBy)
}

/** The same for one that this device has opened before, and kept where nobody else can have changed it. */
export function openVerified(bytes: Uint8Array): Envelope {
  return open(bytes, () => true)
}

function open(bytes: Uint8Array, isGenuine: typeof isSignedBy): Envelope {
  if (bytes.length > MANIFEST_BYTES) {
    throw new MalformedError(`envelope: ${bytes.length} bytes, want at most ${MANIFEST_BYTES}`)
  }
  const signed = parseSigned(bytes)
  const { kind, parse } = kindOf(signed.type)
  if (kind !== 'manifest' && bytes.length > ENVELOPE_BYTES) {
    throw new MalformedError(`${kind}: ${bytes.length} bytes, want at most ${ENVELOPE_BYTES}`)
  }
  const signerKey = parseKey<'device'>(signed.signer, `${kind}: signer`)
  if (!isGenuine(signed, signerKey)) throw new BadSignatureError(kind)
  const claims: Claims = { what: kind, map: decodeCborMap(signed.payload, kind) }
  const envelope = {
    kind,
    organization: parseOrganizationId(text(claims, ORGANIZATION, 26)),
    signer: toBase32(signerKey),
    signerKey,
    body: parse(claims),
    id: envelopeId(bytes),
    // A view of what came around it would keep all of that in memory for as long as the envelope.
    bytes: bytes.length === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes),
  } as Envelope // the parser was chosen by the kind
  checkSigner(envelope)
  return envelope
}

function kindOf(type: string): { kind: Kind; parse: (claims: Claims) => unknown } {
  const kind = type.startsWith(TYPE_PREFIX) ? type.slice(TYPE_PREFIX.length) : ''
  if (kind === `issuer-certificate${LOCKED}`) {
    return { kind: 'issuer-certificate', parse: parseLockedIssuerCertificate }
  }
  if (Object.hasOwn(PARSERS, kind)) return { kind: kind as Kind, parse: PARSERS[kind as Kind] }
  throw new MalformedError(`envelope header: unknown type "${type.slice(0, 64)}"`)
}

/** Self-evident binding: an issuer certificate names its own root through the organization id. */
function checkSigner(envelope: Envelope): void {
  if (envelope.kind !== 'issuer-certificate') return
  const root = parseKey<'root'>(envelope.signerKey, 'issuer-certificate: root')
  if (organizationIdOf(root) !== envelope.organization) {
    throw new MalformedError('issuer-certificate: not signed by the root of its organization')
  }
}

/** The device that signed a device's envelope. */
export function signingDevice(
  envelope: EnvelopeOf<'approval' | 'endpoint-update' | 'route-advertisement' | 'proof'>,
): DeviceId {
  return deviceIdOf(parseKey(envelope.signerKey, 'signer'))
}

/** Base32 of an issuer's key, as `signer` has it. */
export function issuerIdOf(key: IssuerPublicKey): string {
  return toBase32(key)
}
