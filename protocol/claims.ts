/** Reading one field of a decoded map: each function names the field, the limit and the value. */
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { type Seconds, seconds } from './time.ts'

/** What is read, for error messages, and its fields. */
export interface Claims {
  readonly what: string
  readonly map: CborMap
}

/** A field's place and name: the integer key is on the wire, the name in errors. */
export interface Field {
  readonly key: number
  readonly name: string
}

function refuse(claims: Claims, field: Field, problem: string): never {
  throw new MalformedError(`${claims.what}: ${field.name} ${problem}`)
}

export function integer(claims: Claims, field: Field, least: number, most: number): number {
  const value = claims.map.get(field.key)
  if (typeof value !== 'number') return refuse(claims, field, 'must be a whole number')
  if (value < least || value > most) {
    return refuse(claims, field, `is ${value}, want ${least} to ${most}`)
  }
  return value
}

/** A moment between 1970 and 2^40 seconds. */
export function moment(claims: Claims, field: Field): Seconds {
  return seconds(integer(claims, field, 0, 2 ** 40))
}

/** `most` counts UTF-16 units. Control characters are refused: names reach terminals. */
export function text(claims: Claims, field: Field, most: number): string {
  const value = claims.map.get(field.key)
  if (typeof value !== 'string') return refuse(claims, field, 'must be text')
  if (value.length > most)
    return refuse(claims, field, `has ${value.length} characters, want at most ${most}`)
  if (/\p{Cc}/u.test(value)) return refuse(claims, field, 'holds control characters')
  return value
}

export function flag(claims: Claims, field: Field): boolean {
  const value = claims.map.get(field.key)
  return typeof value === 'boolean' ? value : refuse(claims, field, 'must be true or false')
}

/** The value at that place of an enumeration; a value of a later version reads as the first. */
export function oneOf<T>(claims: Claims, field: Field, values: readonly [T, ...T[]]): T {
  return values[integer(claims, field, 0, 255)] ?? values[0]
}

/** A count or an age that may be absent; at most 2^48. */
export function optional(claims: Claims, field: Field): number | undefined {
  return claims.map.has(field.key) ? integer(claims, field, 0, 2 ** 48) : undefined
}

/** A map inside the map. */
export function nested(claims: Claims, field: Field): Claims {
  return mapItem(claims, field, claims.map.get(field.key))
}

/** An item of a list that is a map. */
export function mapItem(claims: Claims, field: Field, item: CborValue | undefined): Claims {
  if (!(item instanceof Map)) return refuse(claims, field, 'must be a map')
  return { what: `${claims.what}: ${field.name}`, map: item }
}

/** `length` bytes exactly, or at most `length.most`. */
export function bytes(claims: Claims, field: Field, length: number | { most: number }): Uint8Array {
  const value = claims.map.get(field.key)
  if (!(value instanceof Uint8Array)) return refuse(claims, field, 'must be bytes')
  const fits = typeof length === 'number' ? value.length === length : value.length <= length.most
  const wanted = typeof length === 'number' ? length : `at most ${length.most}`
  if (!fits) return refuse(claims, field, `has ${value.length} bytes, want ${wanted}`)
  return value
}

/** An array of at most `most` items, each read by `read`. An absent field is an empty list. */
export function list<T>(
  claims: Claims,
  field: Field,
  most: number,
  read: (item: CborValue) => T,
): readonly T[] {
  const value = claims.map.get(field.key) ?? []
  if (!Array.isArray(value)) return refuse(claims, field, 'must be an array')
  if (value.length > most)
    return refuse(claims, field, `has ${value.length} items, want at most ${most}`)
  return value.map(read)
}

/** A list of texts of at most `characters` each. */
export function texts(
  claims: Claims,
  field: Field,
  most: number,
  characters: number,
): readonly string[] {
  return list(claims, field, most, (item) =>
    text({ what: claims.what, map: new Map([[field.key, item]]) }, field, characters),
  )
}
