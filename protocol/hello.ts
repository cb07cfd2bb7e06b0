/** Hello: how two libp2p peers show each other that they belong to one organization (SPEC §7.1).
 *
 *  Both sides send `greeting` at once (a nonce and the envelopes that vouch for them), then each answers
 *  the other's nonce with a proof. A device proves its device key; a registry proves the issuer's key,
 *  which thereby speaks for the registry's peer id. */
import { deviceStanding, isIssuerTrusted, memberOf, type Refusal } from './belief.ts'
import { bytes, type Claims, integer, list } from './claims.ts'
import { type CborValue, decodeCborMap, encodeCbor } from './codec.ts'
import { openEnvelope, sealEnvelope } from './envelope.ts'
import { MalformedError } from './errors.ts'
import type { DeviceId, DeviceKeyPair, IssuerKeyPair, OrganizationId } from './keys.ts'
import { parseOrganizationId } from './keys.ts'
import { encodeProof, proofProblem } from './proof.ts'
import { apply, type OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

export const HELLO_PROTOCOL = '/nexodus/hello/1'
/** Bytes of either hello message: a manifest is not among them, certificates are. */
export const HELLO_BYTES = 8192
const NONCE_BYTES = 16
const ENVELOPES = 6

export interface Greeting {
  readonly version: number
  readonly organization: OrganizationId
  readonly nonce: Uint8Array
  /** Issuer certificates and, of a device, its membership certificate. */
  readonly envelopes: readonly Uint8Array[]
}

const VERSION = { key: 1, name: 'version' }
const ORGANIZATION = { key: 2, name: 'organization' }
const NONCE = { key: 3, name: 'nonce' }
const ENVELOPE = { key: 4, name: 'envelopes' }

export function encodeGreeting(greeting: Greeting): Uint8Array {
  return encodeCbor(
    new Map<CborValue, CborValue>([
      [VERSION.key, greeting.version],
      [ORGANIZATION.key, greeting.organization],
      [NONCE.key, greeting.nonce],
      [ENVELOPE.key, [...greeting.envelopes]],
    ]),
  )
}

/** Throws MalformedError. */
export function parseGreeting(frame: Uint8Array): Greeting {
  const claims: Claims = { what: 'greeting', map: decodeCborMap(frame, 'greeting') }
  const organization = claims.map.get(ORGANIZATION.key)
  if (typeof organization !== 'string')
    throw new MalformedError('greeting: organization must be text')
  return {
    version: integer(claims, VERSION, 1, 255),
    organization: parseOrganizationId(organization),
    nonce: bytes(claims, NONCE, NONCE_BYTES),
    envelopes: list(claims, ENVELOPE, ENVELOPES, (item) => {
      if (item instanceof Uint8Array) return item
      throw new MalformedError('greeting: envelopes must be bytes')
    }),
  }
}

/** The answer to the other's nonce. `ours` and `theirs` are libp2p peer ids as text. */
export function proveHello(
  organization: OrganizationId,
  key: DeviceKeyPair | IssuerKeyPair,
  peers: { readonly ours: string; readonly theirs: string },
  theirNonce: Uint8Array,
  now: Seconds,
): Uint8Array {
  const proof = {
    purpose: 'hello',
    audience: peers.theirs,
    subject: peers.ours,
    nonce: theirNonce,
    issuedAt: now,
    wireguardKey: new Uint8Array(0),
  }
  return sealEnvelope('proof', organization, encodeProof(proof), key)
}

/** Who the other is; or why it is no one to talk to. The state has learned from its envelopes. */
export type HelloVerdict =
  | { readonly ok: true; readonly state: OrganizationState; readonly who: HelloPeer }
  | { readonly ok: false; readonly refusal: Refusal | 'bad-proof' | 'clock' }

export type HelloPeer =
  | { readonly kind: 'device'; readonly device: DeviceId; readonly name: string }
  | { readonly kind: 'registry' }

/** Judges a greeting and a proof from the peer `theirs`. Throws MalformedError or BadSignatureError
 *  when an envelope or the proof is not well-formed or not truly signed. */
export function judgeHello(
  state: OrganizationState,
  greeting: Greeting,
  proofBytes: Uint8Array,
  expected: {
    readonly ours: string
    readonly theirs: string
    readonly nonce: Uint8Array
    readonly peerDevice: DeviceId | undefined
  },
  now: Seconds,
): HelloVerdict {
  if (greeting.organization !== state.organization)
    return { ok: false, refusal: 'wrong-organization' }
  let learned = state
  for (const envelope of greeting.envelopes)
    learned = apply(learned, openEnvelope(envelope), now).state
  const proof = openEnvelope(proofBytes)
  if (proof.kind !== 'proof' || proof.organization !== state.organization)
    return { ok: false, refusal: 'bad-proof' }
  const wanted = { purpose: 'hello', audience: expected.ours, nonce: expected.nonce } as const
  const problem = proofProblem(proof.body, wanted, now)
  if (problem === 'clock') return { ok: false, refusal: 'clock' }
  if (problem !== undefined || proof.body.subject !== expected.theirs)
    return { ok: false, refusal: 'bad-proof' }
  if (isIssuerTrusted(learned, proof.signer, now))
    return { ok: true, state: learned, who: { kind: 'registry' } }
  const device = proof.signer as DeviceId
  if (device !== expected.peerDevice) return { ok: false, refusal: 'bad-proof' }
  const member = memberOf(learned, device, now)
  if (member !== undefined) {
    return {
      ok: true,
      state: learned,
      who: { kind: 'device', device, name: member.certificate.name },
    }
  }
  return { ok: false, refusal: deviceStanding(learned, device, now) ?? 'not-member' }
}
