/** Registry reference: where the registry is, and which organization is meant, as an operator writes it. */
import { type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { explain, OperatorError } from './errors.ts'

export interface RegistryReference {
  readonly registry: string
  readonly organization: OrganizationId | undefined
}

/** `https://registry.example#<organization id>`. Throws OperatorError (ERR_USAGE). */
export function parseRegistryReference(text: string): RegistryReference {
  let url: URL
  try {
    url = new URL(text)
  } catch (cause) {
    throw new OperatorError(
      'ERR_USAGE',
      `registry "${text}" is not a URL (want https://host[:port])`,
      { cause },
    )
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new OperatorError(
      'ERR_USAGE',
      `registry "${text}": want https:// (or http:// in a laboratory)`,
    )
  }
  const id = url.hash.slice(1)
  url.hash = ''
  try {
    return { registry: url.href, organization: id === '' ? undefined : parseOrganizationId(id) }
  } catch (cause) {
    throw new OperatorError('ERR_USAGE', `registry "${text}": ${explain(cause)}`, { cause })
  }
}
