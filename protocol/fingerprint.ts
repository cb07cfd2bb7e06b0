/** The fingerprint of a device key: what a person compares between two screens. */
import { toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type DeviceId, deviceKeyOf } from './keys.ts'

/** 64 bits are out of reach of a search while a user code lives. */
const BYTES = 8

/** `a1b2:c3d4:e5f6:0718`: the head of the SHA-256 of the key. */
export function fingerprintOf(device: DeviceId): string {
  const hex = toHex(sha256(deviceKeyOf(device)).subarray(0, BYTES))
  return (hex.match(/.{4}/g) ?? []).join(':')
}
