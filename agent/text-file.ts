/** A text file that a command names. */
import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { OperatorError } from './errors.ts'

/** @param file a path; `-` for standard input. Throws OperatorError (ERR_USAGE). */
export async function textOf(file: string): Promise<string> {
  try {
    return file === '-' ? await readAll(process.stdin) : await readFile(file, 'utf8')
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new OperatorError('ERR_USAGE', `cannot read ${file}: ${why}`, { cause })
  }
}
