/** Domain names: how an organization's name becomes one, and which text is one (SPEC §13). */
import type { Brand } from '../crypto/bytes.ts'
import { MalformedError } from './errors.ts'
import type { OrganizationId } from './keys.ts'
import { DOMAIN_CHARACTERS, NAME_CHARACTERS } from './limits.ts'

/** Lower case, labels of letters, digits, inner hyphens and underscores, no final dot. */
export type DomainName = Brand<string, 'DomainName'>

/** Every name is in it. */
export const ROOT_DOMAIN = '' as DomainName

/** Above every organization's domain. */
export const TOP_DOMAIN = 'nexodus' as DomainName

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** An OrganizationId's text (SPEC §2.3). */
const ID = /^[a-z2-7]{26}$/

/** Throws MalformedError. @param what for the message */
export function parseDomainName(text: string, what: string): DomainName {
  const isOne =
    text.length <= DOMAIN_CHARACTERS && text.split('.').every((each) => LABEL.test(each))
  if (isOne) return text as DomainName
  throw new MalformedError(
    `${what}: "${text.slice(0, 80)}" is no domain name (labels of at most ${NAME_CHARACTERS} of a-z, 0-9, _ and inner hyphens, ${DOMAIN_CHARACTERS} characters in all)`,
  )
}

/** The DNS label of an organization's name (SPEC §13.1): what is left of it in ASCII letters and digits, all else one
 *  hyphen; its id where nothing is left, or what is left could be another's id. */
export function organizationLabel(name: string, organization: OrganizationId): string {
  const label = name
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, NAME_CHARACTERS)
    .replace(/-$/, '')
  return label === '' || ID.test(label) ? organization : label
}

export interface NamedOrganization {
  readonly id: OrganizationId
  /** As its manifest has it. */
  readonly name: string
}

/** The domain of the organization on a host where others were before it: where one of them has its label, it is found
 *  below its id alone. `takenBy` says whose the label is. */
export function organizationDomain(
  organization: NamedOrganization,
  before: readonly NamedOrganization[] = [],
): { readonly domain: DomainName; readonly takenBy?: OrganizationId } {
  const label = organizationLabel(organization.name, organization.id)
  const first = before.find(({ id, name }) => organizationLabel(name, id) === label)
  return first === undefined
    ? { domain: below(label) }
    : { domain: idDomain(organization.id), takenBy: first.id }
}

/** Nobody else ever has it. */
export function idDomain(organization: OrganizationId): DomainName {
  return below(organization)
}

function below(label: string): DomainName {
  return `${label}.${TOP_DOMAIN}` as DomainName
}

/** Is `name` the domain itself or in it? */
export function isInDomain(name: string, domain: string): boolean {
  return name === domain || domain === ROOT_DOMAIN || name.endsWith(`.${domain}`)
}
