/** What a relay passes on, by its looks (SPEC §12.2): WireGuard's messages and authenticated checks. It can
 *  read neither; what is of no such shape is nobody's ciphertext. */
import { MalformedError } from './errors.ts'
import { isStun, parseStun, STUN_BYTES } from './stun.ts'

export type RelayedKind = 'wireguard' | 'check'

/** Bytes of WireGuard's messages (whitepaper §5.4): initiation, response, cookie reply. */
const FIXED_LENGTHS = [148, 92, 64]
const TRANSPORT = 4
/** Header and authentication tag of an empty packet, a keepalive. No multiple of 16 can be asked for:
 *  a packet as large as the MTU is not padded beyond it. */
const LEAST_TRANSPORT = 32

/** Undefined: not to be passed on. Never throws, whatever the bytes. */
export function relayedKind(datagram: Uint8Array): RelayedKind | undefined {
  if (isWireguard(datagram)) return 'wireguard'
  return isCheck(datagram) ? 'check' : undefined
}

function isWireguard(datagram: Uint8Array): boolean {
  const [type = 0, ...reserved] = datagram.subarray(0, 4)
  if (reserved.length < 3 || reserved.some((byte) => byte !== 0)) return false
  if (type === TRANSPORT) return datagram.length >= LEAST_TRANSPORT
  return datagram.length === FIXED_LENGTHS[type - 1]
}

/** With MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; a request also says who asks whom (SPEC §10.2). */
function isCheck(datagram: Uint8Array): boolean {
  if (datagram.length > STUN_BYTES || !isStun(datagram)) return false
  try {
    const { kind, username, hasIntegrity, hasFingerprint } = parseStun(datagram)
    return hasIntegrity && hasFingerprint && (kind !== 'request' || username !== undefined)
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}
