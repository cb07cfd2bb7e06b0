/** The fingerprint of a device key: what a person compares between two screens. */
import { concat, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type DeviceId, deviceKeyOf } from './keys.ts'

/** 64 bits are out of reach of a search while a user code lives. */
const BYTES = 8

/** 80 bits: whoever makes certificates has all the time it wants to search for a key. */
const BOTH_BYTES = 10

/** Of both keys of a device, which an approval names: what an approver compares (SPEC §4.3). */
export function fingerprintOfBoth(device: DeviceId, wireguardKey: Uint8Array): string {
  return grouped(sha256(concat(deviceKeyOf(device), wireguardKey)).subarray(0, BOTH_BYTES))
}

/** `a1b2:c3d4:e5f6:0718`: the head of the SHA-256 of the key. */
export function fingerprintOf(device: DeviceId): string {
  return grouped(sha256(deviceKeyOf(device)).subarray(0, BYTES))
}

function grouped(bytes: Uint8Array): string {
  return (toHex(bytes).match(/.{4}/g) ?? []).join(':')
}
