/** A question as a program of the host asks it, and what comes back. */
import { decode, encode, type RecordType } from 'dns-packet'
import { parseQuery, type Query } from '../../../agent/names/message.ts'

export interface Asked {
  readonly id?: number
  readonly type?: RecordType
  /** EDNS with this payload size. */
  readonly size?: number
}

export function questionBytes(name: string, { id = 7, type = 'A', size }: Asked = {}): Buffer {
  const packet = { type: 'query', id, flags: 0x0100, questions: [{ name, type }] } as const
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: size ?? 0,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  } as const
  return encode({
    ...packet,
    questions: [...packet.questions],
    ...(size === undefined ? {} : { additionals: [{ ...opt, options: [] }] }),
  })
}

/** `NOERROR A 100.64.0.1`, with `tc` before it where it is cut. */
export function answerText(bytes: Buffer): string {
  const {
    rcode,
    answers = [],
    flag_tc: isCut,
  } = decode(bytes) as ReturnType<typeof decode> & {
    rcode: string
  }
  const records = answers.map((each) => `${each.type} ${'data' in each ? String(each.data) : ''}`)
  return [...(isCut ? ['tc'] : []), rcode, ...records].join(' ')
}

/** As the resolver reads it. */
export function query(name: string, asked: Asked = {}): Query {
  const parsed = parseQuery(questionBytes(name, asked))
  if (parsed.kind !== 'query') throw new Error(`no query: ${name}`)
  return parsed.query
}
