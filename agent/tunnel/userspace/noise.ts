/** Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (whitepaper §5.4.2 to §5.4.5): the two messages of a
 *  handshake, without their MACs. Pure: ephemeral keys, indices and timestamps are handed in. */
import { open, type SealingKey, seal, sealingKey } from '../../../crypto/aead.ts'
import {
  type AgreementKeyPair,
  type AgreementPrivateKey,
  type AgreementPublicKey,
  parseAgreementPublicKey,
  sharedSecret,
} from '../../../crypto/agreement.ts'
import { utf8, wipe } from '../../../crypto/bytes.ts'
import { blake2sOf, hmacBlake2s } from '../../../crypto/hash.ts'
import { KeyError } from '../../../crypto/keys.ts'
import { field, INITIATION, newMessage, RESPONSE, readUint32, writeUint32 } from './messages.ts'

const CHAINING_KEY = blake2sOf(utf8('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'))
const HASH = blake2sOf(CHAINING_KEY, utf8('WireGuard v1 zx2c4 Jason@zx2c4.com'))
const NONCE = new Uint8Array(12)
const NOTHING = new Uint8Array(0)
export const PRESHARED_KEY_BYTES = 32

/** The peer's part of a handshake that does not change from one to the next. */
export interface RemoteStatic {
  readonly publicKey: AgreementPublicKey
  /** Of both static keys. */
  readonly staticSecret: Uint8Array
  /** 32 bytes, zeroes where there is none. */
  readonly presharedKey: Uint8Array
}

/** Where a handshake stands. */
interface Transcript {
  readonly chainingKey: Uint8Array
  readonly hash: Uint8Array
}

/** An initiation of ours, until it is answered. */
export interface SentInitiation extends Transcript {
  readonly ephemeral: AgreementKeyPair
  readonly localIndex: number
}

/** An initiation that opened so far that it says who sent it. */
export interface OpenedInitiation extends Transcript {
  readonly ephemeral: AgreementPublicKey
  readonly remoteIndex: number
  readonly sender: AgreementPublicKey
  readonly message: Uint8Array
}

/** An initiation that its sender alone can have made. */
export interface ProvedInitiation extends OpenedInitiation {
  readonly timestamp: Uint8Array
}

/** What a handshake is for. */
export interface TransportKeys {
  readonly sending: SealingKey
  readonly receiving: SealingKey
  readonly localIndex: number
  readonly remoteIndex: number
}

/** The message has room for its MACs. */
export function createInitiation(
  own: AgreementKeyPair,
  peer: RemoteStatic,
  fresh: {
    readonly ephemeral: AgreementKeyPair
    readonly localIndex: number
    readonly timestamp: Uint8Array
  },
): { readonly message: Uint8Array; readonly sent: SentInitiation } {
  const { ephemeral, localIndex, timestamp } = fresh
  const message = newMessage('initiation')
  writeUint32(message, INITIATION.sender[0], localIndex)
  message.set(ephemeral.publicKey, INITIATION.ephemeral[0])
  const begun = withEphemeral(
    { chainingKey: CHAINING_KEY, hash: blake2sOf(HASH, peer.publicKey) },
    ephemeral.publicKey,
  )
  const first = withSecret(begun, sharedSecret(ephemeral.privateKey, peer.publicKey))
  const hash = put(message, INITIATION.static, first, own.publicKey)
  const second = withStatic({ ...first, hash }, peer.staticSecret)
  wipe(first.chainingKey)
  const last = put(message, INITIATION.timestamp, second, timestamp)
  const sent = { chainingKey: second.chainingKey, hash: last, ephemeral, localIndex }
  return { message, sent }
}

/** Undefined unless it was made for our key. Says nothing about who made it; see `proveInitiation`. */
export function openInitiation(
  own: AgreementKeyPair,
  message: Uint8Array,
): OpenedInitiation | undefined {
  const ephemeral = publicKeyIn(field(message, INITIATION.ephemeral))
  if (ephemeral === undefined) return undefined
  const begun = withEphemeral(
    { chainingKey: CHAINING_KEY, hash: blake2sOf(HASH, own.publicKey) },
    ephemeral,
  )
  const first = withSecret(begun, sharedSecret(own.privateKey, ephemeral))
  const opened = take(message, INITIATION.static, first)
  const sender = opened && publicKeyIn(opened.plaintext)
  if (opened === undefined || sender === undefined) {
    wipe(first.chainingKey)
    return undefined
  }
  return {
    chainingKey: first.chainingKey,
    hash: opened.hash,
    ephemeral,
    sender,
    remoteIndex: readUint32(message, INITIATION.sender[0]),
    message,
  }
}

/** Undefined unless `sender`'s private key made it. Uses `opened` up: its chaining key is wiped. */
export function proveInitiation(
  opened: OpenedInitiation,
  staticSecret: Uint8Array,
): ProvedInitiation | undefined {
  const second = withStatic(opened, staticSecret)
  const proof = take(opened.message, INITIATION.timestamp, second)
  const { chainingKey } = second
  wipe(opened.chainingKey)
  if (proof === undefined) {
    wipe(chainingKey)
    return undefined
  }
  return { ...opened, chainingKey, hash: proof.hash, timestamp: proof.plaintext }
}

/** The message has room for its MACs. Uses `initiation` up: its chaining key is wiped. */
export function createResponse(
  initiation: ProvedInitiation,
  presharedKey: Uint8Array,
  fresh: { readonly ephemeral: AgreementKeyPair; readonly localIndex: number },
): { readonly message: Uint8Array; readonly keys: TransportKeys } {
  const { ephemeral, localIndex } = fresh
  const { remoteIndex } = initiation
  const message = newMessage('response')
  writeUint32(message, RESPONSE.sender[0], localIndex)
  writeUint32(message, RESPONSE.receiver[0], remoteIndex)
  message.set(ephemeral.publicKey, RESPONSE.ephemeral[0])
  const answered = answeredBy(
    initiation,
    ephemeral.publicKey,
    [
      sharedSecret(ephemeral.privateKey, initiation.ephemeral),
      sharedSecret(ephemeral.privateKey, initiation.sender),
    ],
    presharedKey,
  )
  wipe(initiation.chainingKey)
  put(message, RESPONSE.empty, answered, NOTHING)
  const [receiving, sending] = transportKeys(answered.chainingKey)
  return { message, keys: { sending, receiving, localIndex, remoteIndex } }
}

/** Undefined unless the peer made it for this initiation; `sent` is as it was, then. */
export function openResponse(
  own: AgreementKeyPair,
  sent: SentInitiation,
  presharedKey: Uint8Array,
  message: Uint8Array,
): TransportKeys | undefined {
  const ephemeral = publicKeyIn(field(message, RESPONSE.ephemeral))
  if (ephemeral === undefined) return undefined
  const agreed = (key: AgreementPrivateKey): Uint8Array => sharedSecret(key, ephemeral)
  const secrets = [agreed(sent.ephemeral.privateKey), agreed(own.privateKey)]
  const answered = answeredBy(sent, ephemeral, secrets, presharedKey)
  if (take(message, RESPONSE.empty, answered) === undefined) {
    wipe(answered.chainingKey)
    return undefined
  }
  const [sending, receiving] = transportKeys(answered.chainingKey)
  const remoteIndex = readUint32(message, RESPONSE.sender[0])
  return { sending, receiving, localIndex: sent.localIndex, remoteIndex }
}

type Keyed = Transcript & { readonly key: SealingKey }

function withEphemeral({ chainingKey, hash }: Transcript, ephemeral: Uint8Array): Transcript {
  const [next] = derive(chainingKey, ephemeral, 1)
  return { chainingKey: next, hash: blake2sOf(hash, ephemeral) }
}

/** Mixes in a secret, which is wiped. */
function withSecret(transcript: Transcript, secret: Uint8Array): Keyed {
  const keyed = withStatic(transcript, secret)
  wipe(secret)
  return keyed
}

/** Mixes in a secret that is used again. */
function withStatic({ chainingKey, hash }: Transcript, secret: Uint8Array): Keyed {
  const [next, key] = derive(chainingKey, secret, 2)
  return { chainingKey: next, hash, key: taken(key) }
}

/** What both sides do from the response's ephemeral key on; wipes the secrets. */
function answeredBy(
  transcript: Transcript,
  ephemeral: Uint8Array,
  secrets: readonly Uint8Array[],
  presharedKey: Uint8Array,
): Keyed {
  const begun = withEphemeral(transcript, ephemeral)
  const chained = secrets.reduce((key, secret) => {
    const [next] = derive(key, secret, 1)
    wipe(key, secret)
    return next
  }, begun.chainingKey)
  const [chainingKey, mixed, key] = derive(chained, presharedKey, 3)
  wipe(chained)
  return { chainingKey, hash: blake2sOf(begun.hash, mixed), key: taken(key) }
}

/** Of the initiator's direction, then of the responder's; wipes the chaining key. */
function transportKeys(chainingKey: Uint8Array): readonly [SealingKey, SealingKey] {
  const [first, second] = derive(chainingKey, NOTHING, 2)
  wipe(chainingKey)
  return [taken(first), taken(second)]
}

/** Seals into the field; the hash after it. */
function put(
  message: Uint8Array,
  [begin, end]: readonly [number, number],
  { key, hash }: Keyed,
  plaintext: Uint8Array,
): Uint8Array {
  message.set(seal(key, NONCE, plaintext, hash), begin)
  return blake2sOf(hash, message.subarray(begin, end))
}

/** Opens the field; the hash after it. */
function take(
  message: Uint8Array,
  at: readonly [number, number],
  { key, hash }: Keyed,
): { readonly plaintext: Uint8Array; readonly hash: Uint8Array } | undefined {
  const sealed = field(message, at)
  const plaintext = open(key, NONCE, sealed, hash)
  return plaintext && { plaintext, hash: blake2sOf(hash, sealed) }
}

/** The whitepaper's KDF_n (§5.4): HKDF with BLAKE2s. */
function derive(key: Uint8Array, input: Uint8Array, count: 1): readonly [Uint8Array]
function derive(key: Uint8Array, input: Uint8Array, count: 2): readonly [Uint8Array, Uint8Array]
function derive(
  key: Uint8Array,
  input: Uint8Array,
  count: 3,
): readonly [Uint8Array, Uint8Array, Uint8Array]
function derive(key: Uint8Array, input: Uint8Array, count: number): readonly Uint8Array[] {
  const secret = hmacBlake2s(key, input)
  const outputs: Uint8Array[] = []
  for (let index = 1; index <= count; index += 1) {
    outputs.push(hmacBlake2s(secret, outputs.at(-1) ?? NOTHING, Uint8Array.of(index)))
  }
  wipe(secret)
  return outputs
}

function taken(bytes: Uint8Array): SealingKey {
  const key = sealingKey(bytes)
  wipe(bytes)
  return key
}

/** Undefined for what is no key, or a key of small order: no honest peer has it. */
function publicKeyIn(bytes: Uint8Array): AgreementPublicKey | undefined {
  try {
    return parseAgreementPublicKey(bytes)
  } catch (error) {
    if (error instanceof KeyError) return undefined
    throw error
  }
}
