import { decode } from 'dns-packet'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeSaid, nameBytes, parseQuery, QUERY_BYTES } from '../../../agent/names/message.ts'
import { resolver } from '../../../agent/names/resolver.ts'
import { NO_ZONES, type ZoneRecord, type Zones } from '../../../agent/names/zones.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import type { DomainName } from '../../../protocol/domain-name.ts'
import { answerText, questionBytes } from './question.ts'

const DOMAIN = 'acme.nexodus' as DomainName
const many = Array.from({ length: 40 }, (_, index) => ({
  type: 'A' as const,
  address: parseIpAddress(`10.0.0.${index + 1}`),
}))
const zones: Zones = {
  ...NO_ZONES,
  serial: 3,
  domains: [DOMAIN],
  apexes: new Set([DOMAIN]),
  records: new Map<string, readonly ZoneRecord[]>([
    ['laptop.acme.nexodus', [{ type: 'A', address: parseIpAddress('100.64.0.1') }]],
    ['many.acme.nexodus', many],
    ['text.acme.nexodus', [{ type: 'TXT', text: 'ü'.repeat(127) }]],
  ]),
}
const respond = resolver(() => zones, { ask: async () => undefined })

async function said(bytes: Buffer, by: 'udp' | 'tcp' = 'udp'): Promise<string> {
  const answer = await respond(bytes, by)
  return answer === undefined ? 'nothing' : answerText(answer)
}

/** Header of one question, then these bytes. */
function raw(flags: number, counts: readonly number[], ...rest: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(12)
  for (const [index, word] of [0x1234, flags, ...counts].entries())
    header.writeUInt16BE(word, index * 2)
  return Buffer.concat([header, ...rest])
}
const A_IN = Buffer.from([0, 1, 0, 1])

const rule = suite('messages to the resolver')

rule('are answered with their id, their question and its capitals', async () => {
  const asked = questionBytes('LapTop.ACME.nexodus', { id: 4711 })
  const answer = decode((await respond(asked, 'udp')) ?? Buffer.alloc(0))
  assert.is(answer.id, 4711)
  assert.is(answer.questions?.[0]?.name, 'LapTop.ACME.nexodus')
  assert.ok(answer.flag_aa && answer.flag_rd && answer.flag_ra)
  assert.is(await said(asked), 'NOERROR A 100.64.0.1')
})

rule(
  'have an OPT in their answer where they have one, and only then (RFC 6891 §6.1.1)',
  async () => {
    const withOpt = decode(
      (await respond(questionBytes('laptop.acme.nexodus', { size: 4096 }), 'udp')) ??
        Buffer.alloc(0),
    )
    assert.is(withOpt.additionals?.[0]?.type, 'OPT')
    const without = decode(
      (await respond(questionBytes('laptop.acme.nexodus'), 'udp')) ?? Buffer.alloc(0),
    )
    assert.equal(without.additionals, [])
  },
)

rule('by UDP are answered as long as they say, from 512 to 1,232 bytes, else cut', async () => {
  const name = 'many.acme.nexodus'
  assert.is(await said(questionBytes(name)), 'tc NOERROR')
  assert.is(await said(questionBytes(name, { size: 100 })), 'tc NOERROR')
  // 40 records of 33 bytes are longer than 1,232.
  assert.is(await said(questionBytes(name, { size: 65_535 })), 'tc NOERROR')
  assert.match(await said(questionBytes(name), 'tcp'), /^NOERROR A 10\.0\.0\.1 .* A 10\.0\.0\.40$/)
  for (const size of [undefined, 512, 1232, 65_535]) {
    const asked = questionBytes(name, size === undefined ? {} : { size })
    const { length } = (await respond(asked, 'udp')) ?? Buffer.alloc(0)
    assert.ok(length <= Math.min(size ?? 512, 1232), `${length}`)
  }
})

rule('that are answers are dropped: two resolvers must not answer each other', async () => {
  assert.is(
    await said(raw(0x8000, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus'), A_IN)),
    'nothing',
  )
})

const hostile: Record<string, [Buffer, string]> = {
  nothing: [Buffer.alloc(0), 'nothing'],
  'less than a header': [Buffer.alloc(11), 'nothing'],
  'more than a query is': [
    Buffer.concat([questionBytes('a.acme.nexodus'), Buffer.alloc(QUERY_BYTES)]),
    'nothing',
  ],
  'no question': [raw(0, [0, 0, 0, 0]), 'FORMERR'],
  'two questions': [raw(0, [2, 0, 0, 0], nameBytes('a'), A_IN, nameBytes('b'), A_IN), 'FORMERR'],
  'more questions than there are': [raw(0, [65_535, 0, 0, 0]), 'FORMERR'],
  'answers in it': [raw(0, [1, 1, 0, 0], nameBytes('a'), A_IN), 'FORMERR'],
  'authorities in it': [raw(0, [1, 0, 9, 0], nameBytes('a'), A_IN), 'FORMERR'],
  'two additional records': [raw(0, [1, 0, 0, 2], nameBytes('a'), A_IN), 'FORMERR'],
  'an additional record that is no OPT': [
    raw(
      0,
      [1, 0, 0, 1],
      nameBytes('a.acme.nexodus'),
      A_IN,
      nameBytes('b'),
      A_IN,
      Buffer.from([0, 0, 0, 0, 0, 4, 1, 2, 3, 4]),
    ),
    'FORMERR',
  ],
  'a question that ends early': [raw(0, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus')), 'FORMERR'],
  'a name without an end': [raw(0, [1, 0, 0, 0], Buffer.from([3, 97, 98])), 'FORMERR'],
  'a label beyond the message': [raw(0, [1, 0, 0, 0], Buffer.from([63, 97]), A_IN), 'FORMERR'],
  'a pointer to itself': [raw(0, [1, 0, 0, 0], Buffer.from([0xc0, 12]), A_IN), 'FORMERR'],
  'a pointer forwards': [raw(0, [1, 0, 0, 0], Buffer.from([0xc0, 14, 1, 97, 0]), A_IN), 'FORMERR'],
  'a pointer into the header': [
    raw(0, [1, 0, 0, 0], Buffer.from([1, 97, 0xc0, 4]), A_IN),
    'FORMERR',
  ],
  'pointers in a ring': [raw(0, [1, 0, 0, 0], Buffer.from([0xc0, 14, 0xc0, 12]), A_IN), 'FORMERR'],
  'a label of a reserved kind': [raw(0, [1, 0, 0, 0], Buffer.from([0x80, 97, 0]), A_IN), 'FORMERR'],
  'a name longer than 255 bytes': [
    raw(
      0,
      [1, 0, 0, 0],
      nameBytes(Array.from({ length: 5 }, () => 'a'.repeat(63)).join('.')),
      A_IN,
    ),
    'FORMERR',
  ],
  'a dot inside a label': [
    raw(
      0,
      [1, 0, 0, 0],
      Buffer.from([11]),
      Buffer.from('laptop.acme'),
      Buffer.from([7]),
      Buffer.from('nexodus\0'),
      A_IN,
    ),
    'FORMERR',
  ],
  'bytes that are no text': [
    raw(0, [1, 0, 0, 0], Buffer.from([2, 0xff, 0xfe, 0]), A_IN),
    'FORMERR',
  ],
  'another operation': [
    raw(0x2800, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus'), A_IN),
    'NOTIMP',
  ],
  'a type that nobody has given': [
    raw(0, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus'), Buffer.from([0xfe, 0, 0, 1])),
    'NOERROR',
  ],
  'type 0': [
    raw(0, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus'), Buffer.from([0, 0, 0, 1])),
    'NOERROR',
  ],
  'a class that nobody has given': [
    raw(0, [1, 0, 0, 0], nameBytes('laptop.acme.nexodus'), Buffer.from([0, 1, 9, 9])),
    'REFUSED',
  ],
  'the root': [raw(0, [1, 0, 0, 0], Buffer.from([0]), A_IN), 'REFUSED'],
}
for (const [what, [bytes, wanted]] of Object.entries(hostile))
  rule(`with ${what} get ${wanted}`, async () => assert.is(await said(bytes), wanted))

rule('of a later EDNS get BADVERS (RFC 6891 §6.1.3)', async () => {
  const bytes = questionBytes('laptop.acme.nexodus', { size: 1232 })
  bytes[bytes.length - 5] = 1
  const answer = (await respond(bytes, 'udp')) ?? Buffer.alloc(0)
  const [opt] = decode(answer).additionals ?? []
  assert.is(opt?.type === 'OPT' ? opt.extendedRcode : undefined, 1)
})

rule('of any bytes never throw, and are never answered by more than 1,232 bytes', async () => {
  const valid = questionBytes('many.acme.nexodus', { size: 4096 })
  const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
        flips.map((each) => {
          const bytes = Buffer.from(valid)
          for (const [at, value] of each) bytes[at] = value
          return bytes
        }),
      ),
      async (bytes) => {
        const answer = await respond(bytes, 'udp')
        assert.ok((answer?.length ?? 0) <= 1232)
        if (answer !== undefined) {
          decode(answer)
          assert.is(answer.readUInt16BE(0), bytes.readUInt16BE(0))
          assert.is((answer[2] ?? 0) & 0x80, 0x80)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

rule('cost little, however they point', () => {
  // Each pointer leads to the one before: as many steps as the message has room for.
  const ring = Buffer.alloc(QUERY_BYTES - 12)
  for (let at = 0; at + 1 < ring.length; at += 2)
    ring.writeUInt16BE(0xc000 | Math.max(0, at + 10), at)
  assert.is(parseQuery(raw(0, [1, 0, 0, 0], ring)).kind, 'refused')
})

rule('about texts are answered with one string of at most 255 bytes', async () => {
  const parsed = parseQuery(questionBytes('text.acme.nexodus', { type: 'TXT' }))
  assert.is(parsed.kind, 'query')
  if (parsed.kind !== 'query') return
  const bytes = encodeSaid(
    parsed.query,
    {
      rcode: 'NOERROR',
      answers: [{ owner: 'text.acme.nexodus', type: 'TXT', text: 'ü'.repeat(127) }],
    },
    'udp',
  )
  const [record] = decode(bytes).answers ?? []
  assert.is(record?.type === 'TXT' ? String(record.data) : '', 'ü'.repeat(127))
})

rule.run()
