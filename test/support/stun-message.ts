/** STUN messages that our encoder would not send. */
import { concat, fromHex } from '../../crypto/bytes.ts'
import { encodeAttribute } from '../../protocol/stun-attributes.ts'

export const TRANSACTION_ID = fromHex('b7e7a701bc34d686fa87dfae')

/** Attributes as given, in that order, and nothing else. */
export function stunMessageOf(
  type: number,
  ...attributes: readonly (readonly [type: number, value: Uint8Array])[]
): Uint8Array {
  const body = concat(...attributes.map(([kind, value]) => encodeAttribute({ type: kind, value })))
  const head = Uint8Array.of(type >> 8, type & 255, body.length >> 8, body.length & 255)
  return concat(head, fromHex('2112a442'), TRANSACTION_ID, body)
}
