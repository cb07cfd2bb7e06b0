/** The audit log of an organization: lines of JSON, each naming the SHA-256 of the line before, so that
 *  whoever kept one hash notices any line before it that was changed, left out or put in. */
import { toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'

/** What the first line names as the one before. */
export const NO_LINE = '0'.repeat(64)

/** Hex; of the line without its line feed. */
export function auditHash(line: string): string {
  return toHex(sha256(utf8(line)))
}

export type AuditVerdict =
  | {
      readonly ok: true
      readonly entries: number
      /** Sequence of the first line: 1 unless the file is only the end of a log. */
      readonly first: number
      /** Of the last line. */
      readonly last: number
      readonly hash: string
    }
  /** `line` counts from 1. */
  | { readonly ok: false; readonly line: number; readonly why: string }

/** Checks each link, in order; tells the first that is broken. The last line is vouched for by nothing
 *  but a hash from elsewhere, which the caller compares with `hash`. */
export async function verifyAuditLog(
  lines: AsyncIterable<string> | Iterable<string>,
): Promise<AuditVerdict> {
  let count = 0
  let first = 0
  let last = 0
  let hash = NO_LINE
  for await (const line of lines) {
    count++
    const link = linkOf(line)
    if (link === undefined) return broken(count, 'it is no entry of an audit log')
    if (count === 1) {
      first = link.sequence
      if (first === 1 && link.previous !== NO_LINE) {
        return broken(count, 'entry 1 names an entry before it')
      }
    } else if (link.sequence !== last + 1) {
      return broken(count, `its sequence is ${link.sequence}, want ${last + 1}`)
    } else if (link.previous !== hash) {
      return broken(
        count,
        `entry ${link.sequence} was made after another entry ${last} than the one on line ${count - 1}`,
      )
    }
    last = link.sequence
    hash = auditHash(line)
  }
  return { ok: true, entries: count, first, last, hash }
}

function broken(line: number, why: string): AuditVerdict {
  return { ok: false, line, why }
}

function linkOf(line: string): { sequence: number; previous: string } | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    if (typeof entry !== 'object' || entry === null) return undefined
    const { sequence, previous } = entry as Readonly<Record<string, unknown>>
    const isLink = Number.isSafeInteger(sequence) && Number(sequence) > 0
    return isLink && typeof previous === 'string'
      ? { sequence: Number(sequence), previous }
      : undefined
  } catch {
    // What is no JSON is no entry.
    return undefined
  }
}
