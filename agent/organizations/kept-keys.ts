/** Kept keys: what the folder of an organization that was removed, or is to be added again, holds. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import { ControlError } from '../control/reports.ts'
import { explain } from '../errors.ts'
import { fieldsOf, textField } from '../json-fields.ts'
import type { RegistryReference } from '../registry-reference.ts'

export interface KeptKeys {
  readonly registry: string
  readonly organization: OrganizationId
}

/** Undefined where the folder is new, or its keys were never let in anywhere. Throws ControlError where it can't be
 *  read. */
export async function keptKeys(folder: string): Promise<KeptKeys | undefined> {
  try {
    const fields = fieldsOf(JSON.parse(await readFile(join(folder, 'join.json'), 'utf8')), 'join')
    return {
      registry: textField(fields, 'registry'),
      organization: parseOrganizationId(textField(fields, 'organization')),
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new ControlError(
      409,
      `${folder} can't be used: ${explain(error)} (choose another --label)`,
    )
  }
}

/** Throws ControlError where the keys are of another organization than the one that is meant. */
export function requireOwn(
  { registry, organization }: KeptKeys,
  wanted: RegistryReference,
  folder: string,
  label: string,
): void {
  const isOwn =
    wanted.organization === undefined
      ? new URL(registry).href === wanted.registry
      : wanted.organization === organization
  if (isOwn) return
  throw new ControlError(
    409,
    `${folder} has keys of organization ${organization} at ${registry} (choose another --label, or have them deleted: nexctl organization remove ${label} --forget)`,
  )
}
