/** Forwarded messages: what is asked of a resolver behind a router, which answers are believed, and what of them is
 *  passed on and kept (RFC 5452). Pure. */
import type { RandomBytes } from '../../crypto/random.ts'
import { mostBytes, optBytes, type Query, truncated } from './message.ts'

/** Seconds that an answer is kept at most, and one that says there is nothing. */
const LONGEST = 300
const LONGEST_NEGATIVE = 30
const HEADER_BYTES = 12
const RESPONSE = 0x8000
const TC = 0x0200
const RD = 0x0100
const RA = 0x0080
const OPT = 41
const SOA = 6

/** What went out, and what its answer must repeat. */
export interface Outgoing {
  readonly bytes: Buffer
  readonly id: number
  /** With capitals at random (draft-vixie-dnsext-dns0x20): who did not see it does not know them. */
  readonly asked: Buffer
}

export function outgoing({ asked, edns }: Query, random: RandomBytes): Outgoing {
  const mixed = mixedCase(asked, random)
  const header = Buffer.alloc(HEADER_BYTES)
  const id = Buffer.from(random(2)).readUInt16BE(0)
  header.writeUInt16BE(id, 0)
  header.writeUInt16BE(RD, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(1, 10)
  const opt = optBytes(0, edns?.isDnssecOk === true ? 0x8000 : 0)
  return { bytes: Buffer.concat([header, mixed, opt]), id, asked: mixed }
}

/** The last four bytes are type and class; a length byte is below 64, no letter. */
function mixedCase(asked: Buffer, random: RandomBytes): Buffer {
  const mixed = Buffer.from(asked)
  const draws = random(asked.length)
  for (let at = 0; at < asked.length - 4; at++) {
    const lower = (asked[at] ?? 0) | 0x20
    if (lower >= 0x61 && lower <= 0x7a) mixed[at] = (draws[at] ?? 0) & 1 ? lower : lower & 0xdf
  }
  return mixed
}

/** An answer's parts: what stands between its question and its additional records. */
export interface Forwarded {
  readonly rcode: number
  readonly answers: number
  readonly authorities: number
  readonly body: Buffer
  /** Of each lifetime in `body`. */
  readonly lifetimesAt: readonly number[]
  /** Seconds for which it may be kept; 0: not at all. */
  readonly lifetime: number
}

/** `other`: no answer to this; whoever sent it, the true one may still come. `retry`: to be asked by TCP. */
export type Heard =
  | { readonly kind: 'other' }
  | { readonly kind: 'retry' }
  | { readonly kind: 'answer'; readonly answer: Forwarded }

/** Never throws. */
export function heard(bytes: Buffer, sent: Outgoing, by: 'udp' | 'tcp'): Heard {
  const other = { kind: 'other' } as const
  const bodyAt = HEADER_BYTES + sent.asked.length
  if (bytes.length < bodyAt || bytes.readUInt16BE(0) !== sent.id) return other
  const flags = bytes.readUInt16BE(2)
  if ((flags & 0xf800) !== RESPONSE || bytes.readUInt16BE(4) !== 1) return other
  const repeated = bytes.subarray(HEADER_BYTES, bodyAt)
  if (!repeated.equals(sent.asked)) {
    // Some servers do not keep capitals: by TCP, where nobody else can answer, that does not matter.
    const isAlike = lowered(repeated).equals(lowered(sent.asked))
    if (!isAlike) return other
    if (by === 'udp') return { kind: 'retry' }
  }
  if ((flags & TC) !== 0) return by === 'udp' ? { kind: 'retry' } : other
  const answer = walked(bytes, bodyAt)
  return answer === undefined ? other : { kind: 'answer', answer }
}

function lowered(asked: Buffer): Buffer {
  return Buffer.from(asked.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)))
}

interface Walked {
  readonly type: number
  readonly lifetimeAt: number
  readonly end: number
}

/** Undefined at what is no message. */
function walked(bytes: Buffer, bodyAt: number): Forwarded | undefined {
  const answers = bytes.readUInt16BE(6)
  const authorities = bytes.readUInt16BE(8)
  const lifetimesAt: number[] = []
  let at = bodyAt
  let shortest = LONGEST
  let isNegativeKnown = false
  for (let index = 0; index < answers + authorities; index++) {
    const record = recordAt(bytes, at)
    if (record === undefined || record.type === OPT) return undefined
    at = record.end
    lifetimesAt.push(record.lifetimeAt - bodyAt)
    shortest = Math.min(shortest, bytes.readUInt32BE(record.lifetimeAt))
    if (index >= answers && record.type === SOA) isNegativeKnown = true
  }
  const rcode = bytes.readUInt16BE(2) & 15
  const isPositive = rcode === 0 && answers > 0
  const negative = isNegativeKnown && (rcode === 0 || rcode === 3) ? LONGEST_NEGATIVE : 0
  return {
    rcode,
    answers,
    authorities,
    body: Buffer.from(bytes.subarray(bodyAt, at)),
    lifetimesAt,
    lifetime: Math.min(shortest, isPositive ? LONGEST : negative),
  }
}

/** Names are stepped over, never followed: pointers cost nothing. */
function recordAt(bytes: Buffer, start: number): Walked | undefined {
  const at = nameEnd(bytes, start)
  if (at === undefined || at + 10 > bytes.length) return undefined
  const end = at + 10 + bytes.readUInt16BE(at + 8)
  return end > bytes.length ? undefined : { type: bytes.readUInt16BE(at), lifetimeAt: at + 4, end }
}

function nameEnd(bytes: Buffer, start: number): number | undefined {
  let at = start
  for (;;) {
    const length = bytes[at]
    if (length === undefined || (length & 0xc0) === 0x80 || (length & 0xc0) === 0x40)
      return undefined
    if (length === 0) return at + 1
    if ((length & 0xc0) === 0xc0) return at + 2
    at += length + 1
  }
}

/** As the asker gets it: its own id and capitals, lifetimes as they are by now, neither authoritative nor validated,
 *  and without what upstream added. @param age seconds */
export function passedOn(query: Query, answer: Forwarded, age: number, by: 'udp' | 'tcp'): Buffer {
  const body = Buffer.from(answer.body)
  for (const at of answer.lifetimesAt) {
    const left = Math.max(0, Math.min(body.readUInt32BE(at), LONGEST) - age)
    body.writeUInt32BE(left, at)
  }
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(query.id, 0)
  const rd = query.isRecursionDesired ? RD : 0
  header.writeUInt16BE(RESPONSE | RA | rd | answer.rcode, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(answer.answers, 6)
  header.writeUInt16BE(answer.authorities, 8)
  header.writeUInt16BE(query.edns === undefined ? 0 : 1, 10)
  const flags = query.edns?.isDnssecOk === true ? 0x8000 : 0
  const opt = query.edns === undefined ? [] : [optBytes(0, flags)]
  const whole = Buffer.concat([header, query.asked, body, ...opt])
  return whole.length <= mostBytes(query, by) ? whole : truncated(query)
}
