/** COSE_Sign1 (RFC 9052 §4.2) with Ed25519 (RFC 9864, −19) and nothing else. */
import { utf8 } from '../crypto/bytes.ts'
import { type SigningPrivateKey, type SigningPublicKey, sign, verify } from '../crypto/signing.ts'
import { type CborMap, decodeCbor, decodeCborMap, encodeCbor } from './codec.ts'
import { MalformedError } from './errors.ts'

const ALGORITHM = 1
const KEY_ID = 4
const TYPE = 16
const ED25519 = -19

export interface Signed {
  /** The signer's public key, as the key id carries it; not yet checked to be a point. */
  readonly signer: Uint8Array
  /** Header 16 (RFC 9596). */
  readonly type: string
  readonly protectedHeader: Uint8Array
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/** Reads the shape; says nothing of the signature. Throws MalformedError. */
export function parseSigned(bytes: Uint8Array): Signed {
  const value = decodeCbor(bytes, 'envelope')
  if (!Array.isArray(value) || value.length !== 4)
    throw new MalformedError('envelope: not COSE_Sign1')
  const [protectedHeader, unprotected, payload, signature] = value
  if (!(unprotected instanceof Map) || unprotected.size !== 0) {
    throw new MalformedError('envelope: unprotected header must be empty')
  }
  if (!(protectedHeader instanceof Uint8Array) || !(payload instanceof Uint8Array)) {
    throw new MalformedError('envelope: protected header and payload must be bytes')
  }
  if (!(signature instanceof Uint8Array) || signature.length !== 64) {
    throw new MalformedError('envelope: signature must be 64 bytes')
  }
  return {
    ...parseHeader(decodeCborMap(protectedHeader, 'envelope header')),
    protectedHeader,
    payload,
    signature,
  }
}

function parseHeader(header: CborMap): { signer: Uint8Array; type: string } {
  const signer = header.get(KEY_ID)
  const type = header.get(TYPE)
  if (header.size !== 3)
    throw new MalformedError('envelope header: want algorithm, key id and type only')
  if (header.get(ALGORITHM) !== ED25519)
    throw new MalformedError('envelope header: algorithm must be -19')
  if (!(signer instanceof Uint8Array) || signer.length !== 32) {
    throw new MalformedError('envelope header: key id must be 32 bytes')
  }
  if (typeof type !== 'string') throw new MalformedError('envelope header: type must be text')
  return { signer, type }
}

/** Verified over the bytes received, never over a re-encoding. */
export function isSignedBy(signed: Signed, key: SigningPublicKey<string>): boolean {
  const message = toBeSigned(signed.protectedHeader, signed.type, signed.payload)
  return verify(key, message, signed.signature)
}

export function encodeSigned(
  type: string,
  payload: CborMap,
  key: { publicKey: SigningPublicKey<string>; privateKey: SigningPrivateKey<string> },
): Uint8Array {
  const header = encodeCbor(
    new Map<number, number | string | Uint8Array>([
      [ALGORITHM, ED25519],
      [KEY_ID, key.publicKey],
      [TYPE, type],
    ]),
  )
  const body = encodeCbor(payload)
  return encodeCbor([header, new Map(), body, sign(key.privateKey, toBeSigned(header, type, body))])
}

/** Sig_structure of RFC 9052 §4.4; the external data separates the kinds once more. */
function toBeSigned(header: Uint8Array, type: string, payload: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', header, utf8(`nexodus/1 ${type}`), payload])
}
