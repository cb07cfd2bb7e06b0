/** TAI64N timestamps (whitepaper §5.1): what keeps an initiation from being repeated. */

export const TIMESTAMP_BYTES = 12
/** 2^62, and the 10 s by which TAI was ahead of UTC in 1970. */
const EPOCH = 0x400000000000000an
const SECOND_NS = 1_000_000_000n
/** What a timestamp tells of the clock is rounded to this, 16.8 ms, as wireguard-go and Linux do. */
const ROUNDED_NS = 1n << 24n

/** Timestamps of one device: each greater than all before, whatever its clock does. */
export class Timestamps {
  #lastNs = -1n

  /** @param nowMs wall time since the epoch */
  next(nowMs: number): Uint8Array {
    const now = BigInt(Math.floor(nowMs)) * 1_000_000n
    const roundedNs = now - ((now % SECOND_NS) % ROUNDED_NS)
    this.#lastNs = roundedNs > this.#lastNs ? roundedNs : this.#lastNs + ROUNDED_NS
    return encodeTimestamp(this.#lastNs)
  }
}

/** @param ns since the epoch */
function encodeTimestamp(ns: bigint): Uint8Array {
  const bytes = new Uint8Array(TIMESTAMP_BYTES)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, EPOCH + ns / SECOND_NS)
  view.setUint32(8, Number(ns % SECOND_NS))
  return bytes
}

/** Big-endian numbers compare as their bytes do. */
export function isLater(timestamp: Uint8Array, than: Uint8Array): boolean {
  return Buffer.compare(timestamp, than) > 0
}
