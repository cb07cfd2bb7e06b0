/** Answer: from a question and the zones to what is said (RFC 1034 §4.3.2, RFC 2308, RFC 8482). Pure. */
import { type DomainName, isInDomain, ROOT_DOMAIN, TOP_DOMAIN } from '../../protocol/domain-name.ts'
import type { Forward } from '../../protocol/organization-names.ts'
import { apexOf, forwardOf, type ZoneRecord, type Zones } from './zones.ts'

export interface Question {
  /** Lower case, no final dot; empty: the root. */
  readonly name: string
  /** As in `A`, or `UNKNOWN_65`. */
  readonly type: string
  readonly class: string
}

export type AnswerRecord = { readonly owner: string } & (
  | ZoneRecord
  | { readonly type: 'SOA'; readonly serial: number }
  | { readonly type: 'NS'; readonly target: string }
  | { readonly type: 'HINFO'; readonly cpu: string }
)

export type Rcode = 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED'

export interface Said {
  readonly rcode: Rcode
  readonly answers: readonly AnswerRecord[]
  /** With a negative answer: for how long it holds (RFC 2308 §3). */
  readonly authority?: AnswerRecord
}

export type Answer =
  | ({ readonly kind: 'said' } & Said)
  | { readonly kind: 'forward'; readonly forward: Forward }

/** Seconds that an answer, or that there is none, may be kept: asking again costs nothing, and names move. */
export const TTL = 5
/** Links of a chain of aliases. */
const CHAIN = 8
/** A name server does not answer them to strangers to the zone's operation (RFC 5936 §2.2.1 in short). */
const TRANSFERS = ['AXFR', 'IXFR']

export function answer(question: Question, zones: Zones): Answer {
  const { name, type } = question
  if (question.class !== 'IN' || TRANSFERS.includes(type)) return said('REFUSED')
  const apex = apexOf(zones, name)
  const forward = forwardOf(zones, name)
  const isNobodys = forward?.domain === ROOT_DOMAIN && isInDomain(name, TOP_DOMAIN)
  if (forward !== undefined && !isNobodys && forward.domain.length > (apex?.length ?? -1))
    return { kind: 'forward', forward }
  return apex === undefined ? said('REFUSED') : answerWithin(apex, question, zones)
}

function said(rcode: Rcode, answers: readonly AnswerRecord[] = []): Answer {
  return { kind: 'said', rcode, answers }
}

function answerWithin(apex: DomainName, { name, type }: Question, zones: Zones): Answer {
  const authority = { owner: apex, type: 'SOA', serial: zones.serial } as const
  const answers: AnswerRecord[] = []
  let at = name
  for (let link = 0; link <= CHAIN; link++) {
    const found = recordsAt(at, apex, zones)
    if (found === undefined) return { kind: 'said', rcode: 'NXDOMAIN', answers, authority }
    if (type === 'ANY') return said('NOERROR', [{ owner: at, type: 'HINFO', cpu: 'RFC8482' }])
    const wanted = found.filter((each) => each.type === type)
    if (wanted.length > 0) return said('NOERROR', [...answers, ...wanted])
    const alias = found.find((each) => each.type === 'CNAME')
    if (alias === undefined) return { kind: 'said', rcode: 'NOERROR', answers, authority }
    answers.push(alias)
    at = alias.target
  }
  return said('SERVFAIL')
}

/** Undefined: there is no such name. */
function recordsAt(
  name: string,
  apex: DomainName,
  { records, above, serial }: Zones,
): readonly AnswerRecord[] | undefined {
  const own = records.get(name)?.map((each) => ({ owner: name, ...each }))
  if (name !== apex) return own ?? (above.has(name) ? [] : undefined)
  return [
    { owner: name, type: 'SOA', serial },
    { owner: name, type: 'NS', target: name },
    ...(own ?? []),
  ]
}
