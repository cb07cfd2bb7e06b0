/** Metadata of a device: keys and values that mean nothing to Nexodus, for people and their programs. */
import { Refused } from './refusal.ts'

export type Metadata = Readonly<Record<string, string>>

/** Keys of one device. */
export const METADATA_KEYS = 64
/** Characters. */
export const METADATA_KEY_CHARACTERS = 64
export const METADATA_VALUE_CHARACTERS = 1024
/** Of keys and values together, in characters: 10,000 devices have a list to be read at once. */
export const METADATA_CHARACTERS = 8192

/** Letters, digits and `._/-`, not at the ends. */
const KEY = /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/

/** What there is with the changes; null takes a key away. Throws Refused (metadata-invalid). */
export function mergeMetadata(
  known: Metadata | undefined,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const merged = new Map(Object.entries(known ?? {}))
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) merged.delete(key)
    else merged.set(checkedKey(key), checkedValue(key, value))
  }
  if (merged.size > METADATA_KEYS) {
    throw refused(`${merged.size} keys, at most ${METADATA_KEYS} are kept of a device`)
  }
  const characters = [...merged].reduce((sum, [key, value]) => sum + key.length + value.length, 0)
  if (characters > METADATA_CHARACTERS) {
    throw refused(`${characters} characters, at most ${METADATA_CHARACTERS} are kept of a device`)
  }
  return Object.fromEntries([...merged].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function checkedKey(key: string): string {
  if (key.length <= METADATA_KEY_CHARACTERS && KEY.test(key)) return key
  throw refused(
    `key "${key.slice(0, 80)}": want 1 to ${METADATA_KEY_CHARACTERS} letters, digits or ._/-, with a letter or digit at both ends`,
  )
}

function checkedValue(key: string, value: string): string {
  if (value.length <= METADATA_VALUE_CHARACTERS) return value
  throw refused(
    `the value of "${key}" has ${value.length} characters, at most ${METADATA_VALUE_CHARACTERS} are kept`,
  )
}

function refused(why: string): Refused {
  return new Refused('metadata-invalid', `metadata: ${why}`, { field: 'metadata' })
}
