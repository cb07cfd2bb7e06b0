import { type Answer, decode, encode } from 'dns-packet'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AnswerCache, CACHE_LIMITS } from '../../../agent/names/cache.ts'
import { type Forwarded, heard, outgoing, passedOn } from '../../../agent/names/forwarded.ts'
import { query } from './question.ts'

const pure = suite('answers that are heard')

const sent = outgoing(query('db.corp.example'), (length) => new Uint8Array(length).fill(0xff))
const good = (): Buffer =>
  encode({
    type: 'response',
    id: sent.id,
    flags: 0x0180,
    questions: [{ type: 'A', name: 'db.corp.example' }],
    answers: [{ type: 'A', name: 'db.corp.example', ttl: 9999, data: '10.9.8.7' }],
    additionals: [{ type: 'A', name: 'evil.corp.example', ttl: 1, data: '6.6.6.6' }],
  })

function parsed(bytes: Buffer): Forwarded {
  const found = heard(bytes, sent, 'udp')
  if (found.kind !== 'answer') throw new Error(found.kind)
  return found.answer
}

pure('lose their additional records, and live 300 s at most', () => {
  const answer = parsed(good())
  assert.is(answer.lifetime, 300)
  const passed = decode(
    passedOn(query('DB.corp.example', { id: 99, size: 1232 }), answer, 100, 'udp'),
  )
  assert.is(passed.id, 99)
  assert.is(passed.questions?.[0]?.name, 'DB.corp.example')
  assert.equal(
    passed.answers?.map((each) => ('ttl' in each ? each.ttl : 0)),
    [200],
  )
  assert.equal(
    passed.additionals?.map(({ type }) => type),
    ['OPT'],
  )
  assert.not(passed.flag_aa)
  assert.not(passed.flag_ad)
})

pure('of no lifetime, or that say only that something failed, are not kept', () => {
  const negative = (authorities: Answer[], rcode: number): number => {
    const questions = [{ type: 'A' as const, name: 'db.corp.example' }]
    const flags = 0x0180 | rcode
    return parsed(encode({ type: 'response', id: sent.id, flags, questions, authorities })).lifetime
  }
  const data = { mname: 'a', rname: 'b.c', minimum: 9 }
  const soa = { type: 'SOA' as const, name: 'corp.example', ttl: 600, data }
  assert.is(negative([soa], 3), 30)
  assert.is(negative([soa], 0), 30)
  assert.is(negative([], 3), 0)
  assert.is(negative([soa], 2), 0)
})

pure('are never more than bytes: any of them are refused or understood, quickly', () => {
  const whole = good()
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.nat(whole.length),
      (flips, length) => {
        const bytes = Buffer.from(whole)
        for (const [at, value] of flips) bytes[at] = value
        const found = heard(bytes.subarray(0, length), sent, 'udp')
        if (found.kind === 'answer') passedOn(query('db.corp.example'), found.answer, 1, 'udp')
      },
    ),
    { numRuns: 5000 },
  )
  const claimed = Buffer.concat([
    whole.subarray(0, 12 + sent.asked.length),
    Buffer.alloc(60_000, 0xc0),
  ])
  claimed.writeUInt16BE(65_535, 6)
  assert.is(heard(claimed, sent, 'tcp').kind, 'other')
})

pure('are kept in bounded number and size', () => {
  const cache = new AnswerCache()
  const answer = parsed(good())
  for (let index = 0; index < CACHE_LIMITS.answers * 2; index++) cache.keep(`${index}`, answer, 0)
  assert.is(cache.size, CACHE_LIMITS.answers)
  assert.is(cache.find('0', 1), undefined)
  assert.ok(cache.find(`${CACHE_LIMITS.answers * 2 - 1}`, 1))
  assert.is(cache.find(`${CACHE_LIMITS.answers * 2 - 1}`, 300_000), undefined)
  cache.clear()
  cache.keep('long', { ...answer, body: Buffer.alloc(CACHE_LIMITS.bytes + 1) }, 0)
  cache.keep('now', { ...answer, lifetime: 0 }, 0)
  assert.is(cache.size, 0)
})

pure.run()
