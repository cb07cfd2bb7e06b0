/** Kept list: the further organizations that this device is in, by which its agent starts them again. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { OperatorError } from '../errors.ts'
import { numberField, recordsOf, textField } from '../json-fields.ts'

export interface Kept {
  readonly label: string
  /** `https://host` or `https://host#organization`. */
  readonly registry: string
  /** Its place among the ports, interfaces and resolvers of this host. */
  readonly slot: number
  /** May it have addresses and names of the internet? */
  readonly allowPublicRoutes: boolean
}

/** In the order of their coming. Throws OperatorError (ERR_STATE_DIRECTORY). */
export async function readKeptList(file: string): Promise<readonly Kept[]> {
  let content: string
  try {
    content = await readFile(file, 'utf8')
  } catch (cause) {
    // ENOTDIR: who makes the state directory says what is wrong with it.
    if (
      cause instanceof Error &&
      'code' in cause &&
      ['ENOENT', 'ENOTDIR'].includes(`${cause.code}`)
    )
      return []
    throw new OperatorError('ERR_STATE_DIRECTORY', `cannot read ${file}`, { cause })
  }
  try {
    return recordsOf(JSON.parse(content), 'organizations').map((fields) => ({
      label: textField(fields, 'label'),
      registry: textField(fields, 'registry'),
      slot: numberField(fields, 'slot'),
      allowPublicRoutes: fields['allowPublicRoutes'] === true,
    }))
  } catch (cause) {
    throw new OperatorError(
      'ERR_STATE_DIRECTORY',
      `${file} is corrupt (restore it, or move it away and add the organizations again; their keys are kept)`,
      { cause },
    )
  }
}

export async function writeKeptList(file: string, kept: readonly Kept[]): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(kept, undefined, 2), { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}
