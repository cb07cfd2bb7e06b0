/** Messages: bytes of a query to a question, and what is said to bytes (RFC 1035 §4, RFC 6891). Pure. */
import { decode, encode, type Packet, type Answer as Resource } from 'dns-packet'
import { type AnswerRecord, type Question, type Rcode, type Said, TTL } from './answer.ts'

/** Bytes of a query: one question and an OPT with cookies and padding have room; more is no query of a stub. */
export const QUERY_BYTES = 1232
/** Bytes of an answer by UDP to who says nothing of it, and the most to who does (dnsflagday.net/2020). */
const PLAIN_BYTES = 512
const UDP_BYTES = 1232
const TCP_BYTES = 65_535

const HEADER_BYTES = 12
const RESPONSE = 0x8000
const OPCODE = 0x7800
const RD = 0x0100
const FLAG = { aa: 0x0400, tc: 0x0200, ra: 0x0080 } as const
const RCODES: Readonly<Record<Rcode | 'BADVERS', number>> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
}

export interface Edns {
  /** Bytes that the other can receive by UDP. */
  readonly size: number
  readonly isDnssecOk: boolean
}

export interface Query {
  readonly id: number
  readonly isRecursionDesired: boolean
  readonly question: Question
  /** As it was asked, for it is repeated with its own capitals. */
  readonly asked: Buffer
  /** Undefined: the other does not know EDNS. */
  readonly edns: Edns | undefined
}

export type ParsedQuery =
  | { readonly kind: 'query'; readonly query: Query }
  /** What to say to it, whole. */
  | { readonly kind: 'refused'; readonly bytes: Buffer }
  /** Nothing is said to it: an answer to it could be an answer to somebody's answer. */
  | { readonly kind: 'dropped' }

/** Never throws. */
export function parseQuery(bytes: Buffer): ParsedQuery {
  if (bytes.length < HEADER_BYTES || bytes.length > QUERY_BYTES) return { kind: 'dropped' }
  const flags = bytes.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return { kind: 'dropped' }
  const refuse = (rcode: Rcode | 'BADVERS', asked?: Buffer): ParsedQuery => ({
    kind: 'refused',
    bytes: refusal(bytes.readUInt16BE(0), flags, rcode, asked),
  })
  if ((flags & OPCODE) !== 0) return refuse('NOTIMP')
  const counts = [4, 6, 8, 10].map((offset) => bytes.readUInt16BE(offset))
  const [questions, answers, authorities, additionals = 0] = counts
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals > 1)
    return refuse('FORMERR')
  const read = decoded(bytes)
  if (read === undefined) return refuse('FORMERR')
  const { question, asked, edns, version } = read
  if (version !== 0) return refuse('BADVERS', asked)
  const isRecursionDesired = (flags & RD) !== 0
  const id = bytes.readUInt16BE(0)
  return { kind: 'query', query: { id, isRecursionDesired, question, asked, edns } }
}

interface Decoded extends Pick<Query, 'question' | 'asked' | 'edns'> {
  readonly version: number
}

function decoded(bytes: Buffer): Decoded | undefined {
  let packet: Packet
  try {
    packet = decode(bytes)
  } catch (error) {
    // The library throws plain errors and range errors at bytes that are no message.
    if (error instanceof Error) return undefined
    throw error
  }
  const [question] = packet.questions ?? []
  const [opt] = packet.additionals ?? []
  if (question === undefined || (opt !== undefined && opt.type !== 'OPT')) return undefined
  const asked = askedBytes(bytes, question.name)
  if (asked === undefined) return undefined
  const edns =
    opt === undefined
      ? undefined
      : { size: opt.udpPayloadSize, isDnssecOk: (opt.flags & 0x8000) !== 0 }
  return {
    question: {
      name: question.name === '.' ? '' : question.name.toLowerCase(),
      type: question.type,
      class: question.class ?? 'IN',
    },
    asked,
    edns,
    version: opt?.ednsVersion ?? 0,
  }
}

/** The question as it lies there: only a name that is its own text back in bytes, so that nothing is asked in other
 *  words than it is answered (a dot inside a label, bytes that are no text, a pointer). */
function askedBytes(bytes: Buffer, name: string): Buffer | undefined {
  const encoded = nameBytes(name)
  const end = HEADER_BYTES + encoded.length
  const isSame = encoded.equals(bytes.subarray(HEADER_BYTES, end))
  return isSame && bytes.length >= end + 4 ? bytes.subarray(HEADER_BYTES, end + 4) : undefined
}

/** Labels, each behind its length, and the root's. */
export function nameBytes(name: string): Buffer {
  const labels = name === '.' || name === '' ? [] : name.split('.').map((each) => Buffer.from(each))
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.of(label.length & 255), label]),
    Buffer.of(0),
  ])
}

function refusal(id: number, flags: number, rcode: Rcode | 'BADVERS', asked?: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(id, 0)
  const code = RCODES[rcode]
  header.writeUInt16BE(RESPONSE | (flags & (OPCODE | RD)) | (code & 15), 2)
  header.writeUInt16BE(asked === undefined ? 0 : 1, 4)
  if (code < 16) return Buffer.concat([header, ...(asked === undefined ? [] : [asked])])
  header.writeUInt16BE(1, 10)
  return Buffer.concat([header, ...(asked === undefined ? [] : [asked]), optBytes(code >> 4, 0)])
}

/** Root name, type 41, size, upper bits of the code, version 0, flags, no options. */
export function optBytes(upperCode: number, flags: number): Buffer {
  const opt = Buffer.alloc(11)
  opt.writeUInt16BE(41, 1)
  opt.writeUInt16BE(UDP_BYTES, 3)
  opt.writeUInt8(upperCode, 5)
  opt.writeUInt16BE(flags, 7)
  return opt
}

/** What may be said to it, bytes. */
export function mostBytes({ edns }: Query, by: 'udp' | 'tcp'): number {
  if (by === 'tcp') return TCP_BYTES
  return edns === undefined ? PLAIN_BYTES : Math.min(Math.max(edns.size, PLAIN_BYTES), UDP_BYTES)
}

/** An answer by the zones; with nothing but TC where it is too long for UDP (RFC 2181 §9). */
export function encodeSaid(
  query: Query,
  { rcode, answers, authority }: Said,
  by: 'udp' | 'tcp',
): Buffer {
  const isAuthoritative = rcode === 'NOERROR' || rcode === 'NXDOMAIN'
  const records = answers.map(resource)
  const authorities = authority === undefined ? [] : [resource(authority)]
  const flags = FLAG.ra | (isAuthoritative ? FLAG.aa : 0)
  const whole = assembled(query, flags | RCODES[rcode], records, authorities)
  return whole.length <= mostBytes(query, by) ? whole : truncated(query)
}

export function truncated(query: Query): Buffer {
  return assembled(query, FLAG.ra | FLAG.tc, [], [])
}

function assembled(
  { id, isRecursionDesired, asked, edns }: Query,
  flags: number,
  answers: Resource[],
  authorities: Resource[],
): Buffer {
  const records = encode({ type: 'response', answers, authorities }).subarray(HEADER_BYTES)
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(id, 0)
  header.writeUInt16BE(RESPONSE | flags | (isRecursionDesired ? RD : 0), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(answers.length, 6)
  header.writeUInt16BE(authorities.length, 8)
  header.writeUInt16BE(edns === undefined ? 0 : 1, 10)
  const opt = edns === undefined ? [] : [optBytes(0, edns.isDnssecOk ? 0x8000 : 0)]
  return Buffer.concat([header, asked, records, ...opt])
}

function resource(record: AnswerRecord): Resource {
  const common = { name: record.owner, ttl: TTL, class: 'IN' } as const
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return { ...common, type: record.type, data: record.address }
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return { ...common, type: record.type, data: record.target }
    case 'TXT':
      return { ...common, type: 'TXT', data: record.text }
    case 'HINFO':
      return { ...common, type: 'HINFO', data: { cpu: record.cpu, os: '' } }
    case 'SOA':
      return { ...common, type: 'SOA', data: soaOf(record.owner, record.serial) }
  }
}

/** Nobody transfers the zone: of the times only the last means something. */
function soaOf(apex: string, serial: number): Extract<Resource, { type: 'SOA' }>['data'] {
  return {
    mname: apex,
    rname: `hostmaster.${apex}`,
    serial: serial >>> 0,
    refresh: 3600,
    retry: 600,
    expire: 86_400,
    minimum: TTL,
  }
}
