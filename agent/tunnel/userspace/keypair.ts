/** Keypair: the two keys of a session, its counters, and the seal on its packets (whitepaper §5.4.6). */
import { NONCE_BYTES, openParts, sealParts, TAG_BYTES } from '../../../crypto/aead.ts'
import { ReplayWindow } from '../../../protocol/replay-window.ts'
import {
  PADDED_TO,
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_MS,
  REPLAY_WINDOW,
} from './constants.ts'
import { readUint64, TRANSPORT_HEADER_BYTES, writeUint32, writeUint64 } from './messages.ts'
import type { TransportKeys } from './noise.ts'

/** Offset of the counter in a transport message's header, and in the nonce. */
const [COUNTER_AT, NONCE_COUNTER_AT] = [8, 4]
const TRANSPORT_TYPE = 4

export class Keypair {
  readonly isInitiator: boolean
  readonly createdMs: number
  readonly localIndex: number
  readonly #keys: TransportKeys
  readonly #window = new ReplayWindow(REPLAY_WINDOW)
  readonly #nonce = new Uint8Array(NONCE_BYTES)
  #counter: number

  /** @param counter of the first packet that is sent */
  constructor(keys: TransportKeys, isInitiator: boolean, createdMs: number, counter = 0) {
    this.#keys = keys
    this.localIndex = keys.localIndex
    this.isInitiator = isInitiator
    this.createdMs = createdMs
    this.#counter = counter
  }

  canSend(nowMs: number): boolean {
    return this.canReceive(nowMs) && this.#counter < REJECT_AFTER_MESSAGES
  }

  canReceive(nowMs: number): boolean {
    return nowMs - this.createdMs < REJECT_AFTER_MS
  }

  /** Shall a new session take its place, as we have just sent? By age the initiator's alone. */
  isDueToSend(nowMs: number): boolean {
    if (this.#counter > REKEY_AFTER_MESSAGES) return true
    return this.isInitiator && nowMs - this.createdMs >= REKEY_AFTER_MS
  }

  /** Header, ciphertext and tag. To be asked before: `canSend`. @param mtu beyond which nothing is filled up */
  seal(packet: Uint8Array, mtu: number): readonly Uint8Array[] {
    const header = Buffer.allocUnsafe(TRANSPORT_HEADER_BYTES)
    writeUint32(header, 0, TRANSPORT_TYPE)
    writeUint32(header, 4, this.#keys.remoteIndex)
    writeUint64(header, COUNTER_AT, this.#counter)
    writeUint64(this.#nonce, NONCE_COUNTER_AT, this.#counter)
    this.#counter += 1
    const [ciphertext, tag] = sealParts(this.#keys.sending, this.#nonce, padded(packet, mtu))
    return [header, ciphertext, tag]
  }

  /** The packet, filled up as it came; undefined where it is not authentic, or came before. */
  open(message: Uint8Array): Uint8Array | undefined {
    const counter = readUint64(message, COUNTER_AT)
    if (counter >= REJECT_AFTER_MESSAGES) return undefined
    writeUint64(this.#nonce, NONCE_COUNTER_AT, counter)
    const tagAt = message.length - TAG_BYTES
    const packet = openParts(
      this.#keys.receiving,
      this.#nonce,
      message.subarray(TRANSPORT_HEADER_BYTES, tagAt),
      message.subarray(tagAt),
    )
    return packet !== undefined && this.#window.take(counter) ? packet : undefined
  }
}

function padded(packet: Uint8Array, mtu: number): Uint8Array {
  const over = packet.length % PADDED_TO
  if (over === 0 || packet.length >= mtu) return packet
  const whole = new Uint8Array(Math.min(mtu, packet.length - over + PADDED_TO))
  whole.set(packet)
  return whole
}
