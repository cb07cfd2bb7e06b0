/** MACs and cookies (whitepaper §5.3, §5.4.4, §5.4.7): who does not know our public key is not answered at all, and
 *  under load neither is who has not shown that it receives at its address. */
import type { AgreementPublicKey } from '../../../crypto/agreement.ts'
import { concat, equal, utf8 } from '../../../crypto/bytes.ts'
import { blake2s, blake2sOf } from '../../../crypto/hash.ts'
import type { RandomBytes } from '../../../crypto/random.ts'
import { LONG_NONCE_BYTES, openWithLongNonce, sealWithLongNonce } from '../../../crypto/xaead.ts'
import { addressBytes, type Endpoint } from '../../../protocol/address.ts'
import { COOKIE_MS } from './constants.ts'
import {
  COOKIE_REPLY,
  field,
  INITIATION,
  MAC_BYTES,
  MACS_BYTES,
  newMessage,
  readUint32,
  writeUint32,
} from './messages.ts'

const [MAC1_LABEL, COOKIE_LABEL] = [utf8('mac1----'), utf8('cookie--')]
const SECRET_BYTES = 32

/** The MACs of what we send to one peer. */
export class MacWriter {
  readonly #mac1Key: Uint8Array
  readonly #cookieKey: Uint8Array
  #lastMac1: Uint8Array | undefined
  #cookie: { readonly bytes: Uint8Array; readonly untilMs: number } | undefined

  constructor(peer: AgreementPublicKey) {
    this.#mac1Key = blake2sOf(MAC1_LABEL, peer)
    this.#cookieKey = blake2sOf(COOKIE_LABEL, peer)
  }

  /** Fills in both MACs of a handshake message. */
  write(message: Uint8Array, nowMs: number): void {
    const [mac1At, mac2At] = macOffsets(message)
    const mac1 = mac(this.#mac1Key, message.subarray(0, mac1At))
    message.set(mac1, mac1At)
    this.#lastMac1 = mac1
    const cookie = this.#cookie
    if (cookie === undefined || nowMs >= cookie.untilMs) return
    message.set(mac(cookie.bytes, message.subarray(0, mac2At)), mac2At)
  }

  /** False, and nothing has changed, unless the peer answers our last handshake message, for the first time. */
  takeReply(reply: Uint8Array, nowMs: number): boolean {
    const answered = this.#lastMac1
    if (answered === undefined) return false
    const [nonce, sealed] = [field(reply, COOKIE_REPLY.nonce), field(reply, COOKIE_REPLY.cookie)]
    const bytes = openWithLongNonce(this.#cookieKey, nonce, sealed, answered)
    if (bytes === undefined) return false
    this.#cookie = { bytes, untilMs: nowMs + COOKIE_MS }
    this.#lastMac1 = undefined
    return true
  }
}

/** The MACs of what comes to us. */
export class MacReader {
  readonly #mac1Key: Uint8Array
  readonly #cookieKey: Uint8Array
  readonly #random: RandomBytes
  #secret: { readonly bytes: Uint8Array; readonly untilMs: number } | undefined

  constructor(own: AgreementPublicKey, random: RandomBytes) {
    this.#mac1Key = blake2sOf(MAC1_LABEL, own)
    this.#cookieKey = blake2sOf(COOKIE_LABEL, own)
    this.#random = random
  }

  /** Was it made for our public key? */
  isForUs(message: Uint8Array): boolean {
    const [mac1At, mac2At] = macOffsets(message)
    return equal(mac(this.#mac1Key, message.subarray(0, mac1At)), message.subarray(mac1At, mac2At))
  }

  /** Has its sender a cookie that we gave to that address and port? */
  hasCookie(message: Uint8Array, from: Endpoint, nowMs: number): boolean {
    const secret = this.#secret
    if (secret === undefined || nowMs >= secret.untilMs) return false
    const [, mac2At] = macOffsets(message)
    const cookie = cookieFor(secret.bytes, from)
    return equal(mac(cookie, message.subarray(0, mac2At)), message.subarray(mac2At))
  }

  /** The cookie reply to a message that is for us. */
  reply(message: Uint8Array, from: Endpoint, nowMs: number): Uint8Array {
    const [mac1At, mac2At] = macOffsets(message)
    const cookie = cookieFor(this.#currentSecret(nowMs), from)
    const nonce = this.#random(LONG_NONCE_BYTES)
    const reply = newMessage('cookie-reply')
    writeUint32(reply, COOKIE_REPLY.receiver[0], readUint32(message, INITIATION.sender[0]))
    reply.set(nonce, COOKIE_REPLY.nonce[0])
    const answered = message.subarray(mac1At, mac2At)
    reply.set(sealWithLongNonce(this.#cookieKey, nonce, cookie, answered), COOKIE_REPLY.cookie[0])
    return reply
  }

  #currentSecret(nowMs: number): Uint8Array {
    if (this.#secret === undefined || nowMs >= this.#secret.untilMs) {
      this.#secret = { bytes: this.#random(SECRET_BYTES), untilMs: nowMs + COOKIE_MS }
    }
    return this.#secret.bytes
  }
}

function macOffsets({ length }: Uint8Array): readonly [number, number] {
  return [length - MACS_BYTES, length - MAC_BYTES]
}

function mac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key, length: MAC_BYTES })
}

function cookieFor(secret: Uint8Array, { address, port }: Endpoint): Uint8Array {
  return mac(secret, concat(addressBytes(address), Uint8Array.of(port >> 8, port & 0xff)))
}
