/** Datagrams that look like WireGuard's (whitepaper §5.4), as far as a relay can tell. */
import { concat, utf8 } from '../../crypto/bytes.ts'

/** A transport message with the text in the place of its ciphertext. */
export function transportMessage(text: string | Uint8Array): Uint8Array {
  const body = typeof text === 'string' ? utf8(text) : text
  return concat(
    Uint8Array.of(4, 0, 0, 0),
    new Uint8Array(12),
    body,
    new Uint8Array(Math.max(0, 16 - body.length)),
  )
}

/** The text of one. */
export function textOf(datagram: Uint8Array): string {
  return Buffer.from(datagram.subarray(16)).toString().replace(/\0+$/, '')
}
