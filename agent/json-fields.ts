/** JSON fields: parsed JSON read field by field, where loading zod would take longer than all that is read:
 *  on the way to the first packet. */
import { MalformedError } from '../protocol/errors.ts'

export type Fields = Readonly<Record<string, unknown>>

/** Every function throws MalformedError, which names `what`, where the value is of another kind. */
export function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MalformedError(`${what}: want an object`)
  }
  return Object.fromEntries(Object.entries(value))
}

export function textField(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new MalformedError(`${name}: want text`)
  return value
}

export function optionalText(fields: Fields, name: string): string | undefined {
  return fields[name] === undefined ? undefined : textField(fields, name)
}

export function numberField(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number') throw new MalformedError(`${name}: want a number`)
  return value
}

export function optionalNumber(fields: Fields, name: string): number | undefined {
  return fields[name] === undefined ? undefined : numberField(fields, name)
}

export function booleanField(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') throw new MalformedError(`${name}: want true or false`)
  return value
}

/** One of a few words. */
export function wordField<Word extends string>(
  fields: Fields,
  name: string,
  words: readonly Word[],
): Word {
  const found = words.find((word) => word === fields[name])
  if (found === undefined) throw new MalformedError(`${name}: want one of ${words.join(', ')}`)
  return found
}

export function recordsOf(value: unknown, what: string): readonly Fields[] {
  if (!Array.isArray(value)) throw new MalformedError(`${what}: want a list`)
  return value.map((each) => fieldsOf(each, what))
}

export function textsOf(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value)) throw new MalformedError(`${what}: want a list`)
  return value.map((each: unknown) => {
    if (typeof each !== 'string') throw new MalformedError(`${what}: want a list of texts`)
    return each
  })
}
