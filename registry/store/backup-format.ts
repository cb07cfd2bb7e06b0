/** A backup: JSON lines. The first says what it is; then a line for each record, and for each key file of
 *  the state directory; the last counts them and ends a chain of hashes over all lines before it. It
 *  holds private keys, unless they are sealed. */
import { z } from 'zod'
import { fromBase64, toBase64, toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { refuseNewer } from './schema.ts'
import { checkKey, StoreError } from './store.ts'

const FORMAT = 'nexodus-registry-backup'
const FORMAT_VERSION = 1

const BYTES = z.base64().transform((text) => fromBase64(text))
const FIRST = z.strictObject({
  format: z.literal(FORMAT),
  version: z.int(),
  schema: z.int(),
  createdAt: z.string(),
})
const LINE = z.union([
  z.strictObject({ key: z.string(), value: BYTES }),
  z.strictObject({ file: z.string(), value: BYTES }),
  z.strictObject({ records: z.int(), files: z.int(), sha256: z.string() }),
])

export type BackupItem =
  | { readonly key: string; readonly value: Uint8Array }
  | { readonly file: string; readonly value: Uint8Array }

export interface BackupHead {
  readonly schema: number
  readonly createdAt: string
}

/** Lines, each with its end. */
export async function* encodeBackup(
  { schema, createdAt }: BackupHead,
  items: AsyncIterable<BackupItem>,
): AsyncIterable<string> {
  const count = { records: 0, files: 0 }
  let chain = new Uint8Array()
  const line = (content: object): string => {
    const text = JSON.stringify(content)
    chain = sha256(chain, utf8(text)) as Uint8Array<ArrayBuffer>
    return `${text}\n`
  }
  yield line({ format: FORMAT, version: FORMAT_VERSION, schema, createdAt })
  for await (const item of items) {
    if ('key' in item) count.records += 1
    else count.files += 1
    yield line({ ...item, value: toBase64(item.value) })
  }
  yield `${JSON.stringify({ ...count, sha256: toHex(chain) })}\n`
}

/** What the lines hold. Throws StoreError naming the line that is at fault, or where the end is missing:
 *  read it to its end before anything is made of it. */
export async function* parseBackup(lines: AsyncIterable<string>): AsyncIterable<BackupItem> {
  const count = { records: 0, files: 0 }
  let chain = new Uint8Array()
  let number = 0
  let isEnded = false
  for await (const text of lines) {
    number += 1
    if (isEnded) throw faulty(number, 'there is more after the end')
    if (number === 1) parseHead(text)
    const line = number === 1 ? undefined : parseLine(text, number)
    if (line !== undefined && 'sha256' in line) {
      assertWhole(line, { ...count, sha256: toHex(chain) }, number)
      isEnded = true
      continue
    }
    chain = sha256(chain, utf8(text)) as Uint8Array<ArrayBuffer>
    if (line === undefined) continue
    if ('key' in line) count.records += 1
    else count.files += 1
    yield line
  }
  if (!isEnded) throw faulty(number, 'its end is missing: the backup broke off')
}

function parseHead(text: string): void {
  const head = FIRST.safeParse(parseJson(text))
  if (!head.success) throw faulty(1, 'this is not a backup of a Nexodus registry')
  if (head.data.version > FORMAT_VERSION) {
    throw faulty(1, `it has format version ${head.data.version}, known are up to ${FORMAT_VERSION}`)
  }
  refuseNewer(head.data.schema, 'the backup')
}

function parseLine(text: string, number: number): z.output<typeof LINE> {
  const line = LINE.safeParse(parseJson(text))
  if (!line.success) throw faulty(number, 'it is damaged')
  if ('key' in line.data) checkKey(line.data.key)
  if ('file' in line.data && !FILE.test(line.data.file)) {
    throw faulty(number, `"${line.data.file.slice(0, 80)}" is no key file of a registry`)
  }
  return line.data
}

/** Relative to the state directory; no way out of it. */
const FILE = /^(?:(?:roots|issuers)\/[a-z2-7]{26}\.key(?:\.next)?|[a-z-]+\.key)$/

function assertWhole(
  said: { records: number; files: number; sha256: string },
  found: { records: number; files: number; sha256: string },
  number: number,
): void {
  for (const name of ['records', 'files', 'sha256'] as const) {
    if (said[name] === found[name]) continue
    throw faulty(
      number,
      `its ${name} should be ${said[name]} and are ${found[name]}: it is damaged`,
    )
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function faulty(line: number, why: string): StoreError {
  return new StoreError(`backup, line ${line}: ${why}`)
}
