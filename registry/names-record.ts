/** Names that an organization adds to those of its devices, as they are kept and as the API has them. */
import { z } from 'zod'
import { MalformedError } from '../protocol/errors.ts'
import {
  DOMAIN_CHARACTERS,
  FORWARDS,
  NAME_RECORDS,
  RECORD_TEXT_BYTES,
  RESOLVERS,
} from '../protocol/limits.ts'
import { extraRecord, forward, type OrganizationNames } from '../protocol/organization-names.ts'

const NAME = z.string().max(DOMAIN_CHARACTERS)

export const NAMES_RECORD = z.strictObject({
  records: z
    .array(
      z.strictObject({
        kind: z.enum(['address', 'alias', 'text']),
        /** Relative to the organization's domain; empty: the domain itself. */
        name: NAME,
        /** An address, a name relative to the organization's domain, or text. */
        value: z.string().max(RECORD_TEXT_BYTES),
      }),
    )
    .max(NAME_RECORDS)
    .default([]),
  forwards: z
    .array(
      z.strictObject({
        domain: NAME,
        /** `address:port` */
        resolvers: z.array(z.string().max(64)).min(1).max(RESOLVERS),
      }),
    )
    .max(FORWARDS)
    .default([]),
})
export type NamesRecord = z.output<typeof NAMES_RECORD>

/** As they are told in manifests. Throws MalformedError. */
export function namesOfRecord({ records, forwards }: NamesRecord): OrganizationNames {
  return {
    records: records.map(({ kind, name, value }) => extraRecord(kind, name, value)),
    forwards: forwards.map(({ domain, resolvers }) => forward(domain, resolvers)),
  }
}

/** What of it contradicts itself. Throws MalformedError, naming the record. */
export function checkNames(names: OrganizationNames): void {
  for (const [index, record] of names.records.entries()) {
    const others = names.records.filter((each, at) => at !== index && each.name === record.name)
    if (record.kind === 'alias' && others.length > 0)
      throw new MalformedError(`record: "${record.name}" is an alias, and has other records, too`)
    const isTwice = others.some((each) => JSON.stringify(each) === JSON.stringify(record))
    if (isTwice) throw new MalformedError(`record: "${record.name}" is there twice, with one value`)
  }
  const domains = names.forwards.map(({ domain }) => domain)
  const twice = domains.find((each, at) => domains.indexOf(each) !== at)
  if (twice !== undefined) throw new MalformedError(`forward: "${twice}" is there twice`)
}
