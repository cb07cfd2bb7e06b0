/** Protocol time: whole seconds since the Unix epoch (RFC 8392 NumericDate without fractions). */
import type { Brand } from '../crypto/bytes.ts'

export type Seconds = Brand<number, 'Seconds'>

/** A count or a moment of whole seconds. Throws a plain Error on fractions: a caller's bug. */
export function seconds(value: number): Seconds {
  if (!Number.isSafeInteger(value)) throw new Error(`seconds: ${value} is not a whole number`)
  return value as Seconds
}

/** The moment `duration` after `moment`. */
export function after(moment: Seconds, duration: Seconds): Seconds {
  return (moment + duration) as Seconds
}
