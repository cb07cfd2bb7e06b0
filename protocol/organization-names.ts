/** Organization's names: records that it adds to those of its devices, and domains that resolvers of its own answer for
 *  (SPEC §13.3, §13.4). A claim of the manifest. */
import { utf8 } from '../crypto/bytes.ts'
import {
  type Endpoint,
  formatEndpoint,
  type IpAddress,
  parseEndpoint,
  parseIpAddress,
} from './address.ts'
import { type Claims, list, text } from './claims.ts'
import type { CborValue } from './codec.ts'
import { type DomainName, isInDomain, parseDomainName, TOP_DOMAIN } from './domain-name.ts'
import { MalformedError } from './errors.ts'
import {
  DOMAIN_CHARACTERS,
  FORWARDS,
  NAME_RECORDS,
  RECORD_TEXT_BYTES,
  RESOLVERS,
} from './limits.ts'

/** `name` is relative to the organization's domain; empty: the domain itself. */
export type ExtraRecord =
  | { readonly kind: 'address'; readonly name: string; readonly address: IpAddress }
  /** `target` is relative to the organization's domain, too. */
  | { readonly kind: 'alias'; readonly name: DomainName; readonly target: DomainName }
  | { readonly kind: 'text'; readonly name: string; readonly text: string }

export interface Forward {
  readonly domain: DomainName
  /** Reached through the tunnel; the first is asked first. */
  readonly resolvers: readonly Endpoint[]
}

export interface OrganizationNames {
  readonly records: readonly ExtraRecord[]
  readonly forwards: readonly Forward[]
}

export const NO_NAMES: OrganizationNames = { records: [], forwards: [] }

/** Positions on the wire only grow. */
const KINDS = ['address', 'alias', 'text'] as const
/** Top domains that nobody has in the public tree: one label of them may be forwarded. */
export const PRIVATE_TOP_DOMAINS = ['corp', 'home', 'internal', 'intranet', 'lan', 'private']

export function encodeOrganizationNames({ records, forwards }: OrganizationNames): CborValue {
  return [
    records.map((record) => [KINDS.indexOf(record.kind), record.name, valueIn(record)]),
    forwards.map(({ domain, resolvers }) => [domain, resolvers.map(formatEndpoint)]),
  ]
}

function valueIn(record: ExtraRecord): string {
  switch (record.kind) {
    case 'address':
      return record.address
    case 'alias':
      return record.target
    case 'text':
      return record.text
  }
}

/** Absent: none. What follows the second item, and records of a kind that is not known, is ignored.
 *  Throws MalformedError. */
export function parseOrganizationNames(value: CborValue | undefined): OrganizationNames {
  if (value === undefined) return NO_NAMES
  if (!Array.isArray(value) || value.length < 2)
    throw new MalformedError('names: want [records, forwards]')
  const claims: Claims = { what: 'names', map: new Map([...value.entries()]) }
  const records = list(claims, { key: 0, name: 'records' }, NAME_RECORDS, recordItem)
  return {
    records: records.filter((record) => record !== undefined),
    forwards: list(claims, { key: 1, name: 'forwards' }, FORWARDS, forwardItem),
  }
}

const NAME = { key: 1, name: 'name' }
const VALUE = { key: 2, name: 'value' }

function recordItem(item: CborValue): ExtraRecord | undefined {
  if (!Array.isArray(item) || item.length < 3 || typeof item[0] !== 'number')
    throw new MalformedError('record: want [kind, name, value]')
  const kind = KINDS[item[0]]
  if (kind === undefined) return undefined
  const claims: Claims = { what: 'record', map: new Map([...item.entries()]) }
  const name = text(claims, NAME, DOMAIN_CHARACTERS)
  return extraRecord(kind, name, text(claims, VALUE, RECORD_TEXT_BYTES))
}

/** Throws MalformedError. */
export function extraRecord(
  kind: ExtraRecord['kind'],
  nameText: string,
  value: string,
): ExtraRecord {
  if (kind === 'alias') {
    const name = parseDomainName(nameText, 'record: name')
    return { kind, name, target: parseDomainName(value, 'record: target') }
  }
  const name = nameText === '' ? '' : parseDomainName(nameText, 'record: name')
  if (kind === 'text') {
    const { length } = utf8(value)
    if (length <= RECORD_TEXT_BYTES) return { kind, name, text: value }
    throw new MalformedError(`record: text has ${length} bytes, want at most ${RECORD_TEXT_BYTES}`)
  }
  const address = parseIpAddress(value)
  if (address !== value) throw new MalformedError(`record: address "${value}", want "${address}"`)
  return { kind, name, address }
}

function forwardItem(item: CborValue): Forward {
  if (!Array.isArray(item) || item.length < 2)
    throw new MalformedError('forward: want [domain, resolvers]')
  const claims: Claims = { what: 'forward', map: new Map([...item.entries()]) }
  const domain = text(claims, { key: 0, name: 'domain' }, DOMAIN_CHARACTERS)
  const resolvers = list(claims, { key: 1, name: 'resolvers' }, RESOLVERS, (each) =>
    typeof each === 'string' ? each : '',
  )
  return forward(domain, resolvers)
}

/** Throws MalformedError: nobody may forward a public top domain, or what Nexodus itself answers for. */
export function forward(domainText: string, resolverTexts: readonly string[]): Forward {
  const domain = parseDomainName(domainText, 'forward: domain')
  if (!domain.includes('.') && !PRIVATE_TOP_DOMAINS.includes(domain)) {
    throw new MalformedError(
      `forward: domain "${domain}", want two labels at least, or one of ${PRIVATE_TOP_DOMAINS.join(', ')}`,
    )
  }
  if (isInDomain(domain, TOP_DOMAIN))
    throw new MalformedError(`forward: domain "${domain}" is in ${TOP_DOMAIN}`)
  if (resolverTexts.length === 0 || resolverTexts.length > RESOLVERS)
    throw new MalformedError(`forward: ${resolverTexts.length} resolvers, want 1 to ${RESOLVERS}`)
  return { domain, resolvers: resolverTexts.map(resolver) }
}

function resolver(endpointText: string): Endpoint {
  const endpoint = parseEndpoint(endpointText)
  if (formatEndpoint(endpoint) === endpointText) return endpoint
  throw new MalformedError(
    `forward: resolver "${endpointText}", want "${formatEndpoint(endpoint)}"`,
  )
}
