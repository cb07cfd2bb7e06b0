/** Handshake: with one peer, in both roles, as far as it stands (whitepaper §5.4.2, §5.4.3). */
import {
  type AgreementKeyPair,
  type AgreementPublicKey,
  agreementKeyPairFromPrivate,
  sharedSecret,
} from '../../../crypto/agreement.ts'
import { wipe } from '../../../crypto/bytes.ts'
import type { RandomBytes } from '../../../crypto/random.ts'
import { INITIATION_EVERY_MS, REKEY_TIMEOUT_MS } from './constants.ts'
import { MacWriter } from './cookies.ts'
import {
  createInitiation,
  createResponse,
  type OpenedInitiation,
  openResponse,
  PRESHARED_KEY_BYTES,
  proveInitiation,
  type RemoteStatic,
  type SentInitiation,
  type TransportKeys,
} from './noise.ts'
import { isLater, type Timestamps } from './tai64n.ts'

export interface HandshakeContext {
  /** Our static key now; undefined while there is none. */
  own(): AgreementKeyPair | undefined
  readonly random: RandomBytes
  readonly timestamps: Timestamps
  /** Wall time, milliseconds since the epoch. */
  wallMs(): number
  drawIndex(): number
  freeIndex(index: number): void
}

const NEVER = Number.NEGATIVE_INFINITY
const EPHEMERAL_BYTES = 32

export class Handshake {
  readonly #context: HandshakeContext
  readonly #publicKey: AgreementPublicKey
  readonly #macs: MacWriter
  #presharedKey: Uint8Array = new Uint8Array(PRESHARED_KEY_BYTES)
  #staticSecret: Uint8Array | undefined
  #sent: SentInitiation | undefined
  #sentMs = NEVER
  #answeredMs = NEVER
  #greatest: Uint8Array | undefined

  constructor(context: HandshakeContext, publicKey: AgreementPublicKey) {
    this.#context = context
    this.#publicKey = publicKey
    this.#macs = new MacWriter(publicKey)
  }

  /** @param key 32 bytes, zeroes for none. Throws RangeError on another length. */
  setPresharedKey(key: Uint8Array): void {
    if (key.length !== PRESHARED_KEY_BYTES) {
      throw new RangeError(`preshared key has ${key.length} bytes, want ${PRESHARED_KEY_BYTES}`)
    }
    wipe(this.#presharedKey)
    this.#presharedKey = Uint8Array.from(key)
  }

  /** An initiation, in the place of one that was not answered. Undefined within REKEY_TIMEOUT of the last message,
   *  and without a key of ours. */
  initiate(nowMs: number): Uint8Array | undefined {
    const { timestamps, drawIndex, wallMs } = this.#context
    const own = this.#context.own()
    if (own === undefined || nowMs - this.#sentMs < REKEY_TIMEOUT_MS) return undefined
    this.clear()
    const fresh = {
      ephemeral: this.#ephemeral(),
      localIndex: drawIndex(),
      timestamp: timestamps.next(wallMs()),
    }
    const { message, sent } = createInitiation(own, this.#remote(own), fresh)
    this.#sent = sent
    return this.#finished(message, nowMs)
  }

  /** The response, and what it makes. Undefined, and nothing has changed, unless the peer alone can have made the
   *  initiation, it is newer than all before (§5.1), and not the next within 20 ms. Either way `opened` is used up. */
  answer(
    opened: OpenedInitiation,
    nowMs: number,
  ): { readonly message: Uint8Array; readonly keys: TransportKeys } | undefined {
    const own = this.#context.own()
    const initiation = own && proveInitiation(opened, this.#remote(own).staticSecret)
    if (initiation === undefined) return undefined
    if (!this.#isNext(initiation.timestamp, nowMs)) {
      wipe(initiation.chainingKey)
      return undefined
    }
    this.#greatest = initiation.timestamp
    this.#answeredMs = nowMs
    this.clear()
    const fresh = { ephemeral: this.#ephemeral(), localIndex: this.#context.drawIndex() }
    const { message, keys } = createResponse(initiation, this.#presharedKey, fresh)
    return { message: this.#finished(message, nowMs), keys }
  }

  /** What our initiation has made. Undefined, and nothing has changed, unless the peer answers it. */
  complete(response: Uint8Array, receiver: number): TransportKeys | undefined {
    const [own, sent] = [this.#context.own(), this.#sent]
    if (own === undefined || sent?.localIndex !== receiver) return undefined
    const keys = openResponse(own, sent, this.#presharedKey, response)
    if (keys === undefined) return undefined
    wipe(sent.chainingKey, sent.hash)
    this.#sent = undefined
    return keys
  }

  /** A cookie reply to our last message; the next one will have it. */
  takeCookie(reply: Uint8Array, nowMs: number): boolean {
    return this.#macs.takeReply(reply, nowMs)
  }

  /** What was begun is forgotten. */
  clear(): void {
    const sent = this.#sent
    if (sent === undefined) return
    this.#sent = undefined
    this.#context.freeIndex(sent.localIndex)
    wipe(sent.chainingKey, sent.hash)
  }

  /** The peer is no more. */
  end(): void {
    this.forgetOwnKey()
    wipe(this.#presharedKey)
  }

  /** Our static key is another: what was made of it is forgotten, the preshared key is not. */
  forgetOwnKey(): void {
    this.clear()
    if (this.#staticSecret !== undefined) wipe(this.#staticSecret)
    this.#staticSecret = undefined
    this.#sentMs = NEVER
  }

  #isNext(timestamp: Uint8Array, nowMs: number): boolean {
    const greatest = this.#greatest
    if (greatest !== undefined && !isLater(timestamp, greatest)) return false
    return nowMs - this.#answeredMs >= INITIATION_EVERY_MS
  }

  #finished(message: Uint8Array, nowMs: number): Uint8Array {
    this.#macs.write(message, nowMs)
    this.#sentMs = nowMs
    return message
  }

  #ephemeral(): AgreementKeyPair {
    const bytes = this.#context.random(EPHEMERAL_BYTES)
    const pair = agreementKeyPairFromPrivate(bytes)
    wipe(bytes)
    return pair
  }

  #remote(own: AgreementKeyPair): RemoteStatic {
    const [publicKey, presharedKey] = [this.#publicKey, this.#presharedKey]
    this.#staticSecret ??= sharedSecret(own.privateKey, publicKey)
    return { publicKey, presharedKey, staticSecret: this.#staticSecret }
  }
}
