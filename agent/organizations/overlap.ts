/** Overlap: do two claims share an address? Claims are many, so each is read once. Pure. */
import {
  type AddressFamily,
  addressBytes,
  addressFamily,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../protocol/address.ts'
import { reversePrefix } from '../names/reverse.ts'

/** A prefix, or a domain, which has the addresses that its reverse names are of. */
interface Valued {
  readonly kind: string
  readonly value: string
}

export type Overlap = (a: Valued, b: Valued) => boolean

/** The first address and the last, as numbers. */
interface Span {
  readonly family: AddressFamily
  readonly from: bigint
  readonly to: bigint
}

export function overlapTest(): Overlap {
  const known = new Map<string, Span | undefined>()
  const spanOf = ({ kind, value }: Valued): Span | undefined => {
    if (known.has(value)) return known.get(value)
    const prefix = kind === 'domain' ? reversePrefix(value) : (value as Prefix)
    const span = prefix && prefixSpan(prefix)
    known.set(value, span)
    return span
  }
  return (a, b) => {
    const [one, other] = [spanOf(a), spanOf(b)]
    if (one === undefined || other === undefined || one.family !== other.family) return false
    return one.from <= other.to && other.from <= one.to
  }
}

function prefixSpan(prefix: Prefix): Span {
  const bytes = addressBytes(prefixAddress(prefix))
  const from = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
  const size = 1n << BigInt(bytes.length * 8 - prefixLength(prefix))
  return { family: addressFamily(prefix), from, to: from + size - 1n }
}
