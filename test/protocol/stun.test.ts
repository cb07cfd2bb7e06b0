import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat, fromHex, toHex, utf8 } from '../../crypto/bytes.ts'
import { parseIpAddress } from '../../protocol/address.ts'
import { crc32 } from '../../protocol/crc32.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  encodeStun,
  isStun,
  parseStun,
  type ReceivedStun,
  STUN_BYTES,
  type StunMessage,
  verifyIntegrity,
} from '../../protocol/stun.ts'
import { stunMessageOf, TRANSACTION_ID as TRANSACTION } from '../support/stun-message.ts'

const rule = suite('STUN (SPEC §10, RFC 8489)')

const KEY = fromHex('0f'.repeat(32))
const REQUEST: StunMessage = {
  kind: 'request',
  transactionId: TRANSACTION,
  priority: 1_845_501_695,
  useCandidate: true,
  username: 'AAAAAAAAAAAA:BBBBBBBBBBBB',
}
const SUCCESS: StunMessage = {
  kind: 'success',
  transactionId: TRANSACTION,
  mappedAddress: { address: parseIpAddress('192.0.2.1'), port: 32853 },
}
const FAILURE: StunMessage = {
  kind: 'error',
  transactionId: TRANSACTION,
  error: { code: 420, reason: 'Unknown Attribute' },
  unknownAttributes: [0x7fff, 0x001e],
}

/** Undefined where the bytes are refused by shape or by integrity. */
const believed = (bytes: Uint8Array): ReceivedStun | undefined => {
  try {
    const message = parseStun(bytes)
    return verifyIntegrity(bytes, KEY) ? message : undefined
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

const refused = (bytes: Uint8Array, message: RegExp): void =>
  assert.throws(
    () => parseStun(bytes),
    (error: unknown) =>
      error instanceof MalformedError &&
      error.code === 'ERR_MALFORMED' &&
      message.test(error.message),
  )

rule('computes the CRC-32 that everybody computes', () => {
  assert.is(crc32(utf8('123456789')), 0xcbf43926)
  assert.is(crc32(new Uint8Array(0)), 0)
})

rule('pins the bytes of a check, its answer and a refusal', () => {
  const pinned: unknown = JSON.parse(
    readFileSync(new URL('../vectors/stun/own.json', import.meta.url), 'utf8'),
  )
  assert.equal(
    {
      request: toHex(encodeStun(REQUEST, KEY)),
      success: toHex(encodeStun(SUCCESS, KEY)),
      error: toHex(encodeStun(FAILURE)),
    },
    pinned,
  )
})

rule('refuses a flip of any bit of a message with integrity', () => {
  for (const message of [REQUEST, SUCCESS, FAILURE]) {
    const bytes = encodeStun(message, KEY)
    assert.is.not(believed(bytes), undefined)
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.is(believed(flipped), undefined, `bit ${bit} of ${message.kind}`)
    }
  }
})

rule('refuses a protected message cut short or lengthened', () => {
  const bytes = encodeStun(REQUEST, KEY)
  for (let length = 0; length < bytes.length; length += 1) {
    assert.is(believed(bytes.subarray(0, length)), undefined)
  }
  assert.is(believed(concat(bytes, new Uint8Array(4))), undefined)
})

rule('never takes an unprotected message for a protected one', () => {
  assert.not(verifyIntegrity(encodeStun(REQUEST), KEY))
  assert.not(parseStun(encodeStun(REQUEST)).hasIntegrity)
})

rule('never takes a WireGuard message for STUN', () => {
  const lengths = { 1: 148, 2: 92, 3: 64, 4: 32 } as const
  for (const [type, length] of Object.entries(lengths)) {
    const property = fc.property(
      fc.uint8Array({ minLength: length, maxLength: length }),
      (rest) => {
        const datagram = Uint8Array.from(rest)
        datagram.set([Number(type), 0, 0, 0])
        // The worst case: a session index that happens to be the magic cookie.
        datagram.set(fromHex('2112a442'), 4)
        assert.not(isStun(datagram))
      },
    )
    fc.assert(property, { numRuns: 25 })
  }
})

rule('takes for STUN what nftables diverts, and nothing shorter than a header', () => {
  const diverted = (bytes: Uint8Array): boolean =>
    ((((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) & 0xfeef) === 0x0001 &&
    toHex(bytes.subarray(4, 8)) === '2112a442'
  for (let type = 0; type < 0x10000; type += 1) {
    const bytes = stunMessageOf(type)
    assert.is(isStun(bytes), diverted(bytes), type.toString(16))
  }
  assert.not(isStun(stunMessageOf(1).subarray(0, 19)))
})

rule('refuses methods other than binding, a wrong cookie and a length that lies', () => {
  refused(stunMessageOf(0x0003), /type 3 is not a binding/)
  refused(concat(fromHex('00010000'), new Uint8Array(16)), /no magic cookie/)
  refused(concat(stunMessageOf(1), new Uint8Array(4)), /length 0 in 24 bytes/)
  refused(concat(fromHex('000100022112a442'), TRANSACTION, new Uint8Array(2)), /length 2 in 22/)
  refused(new Uint8Array(STUN_BYTES + 1), /1233 bytes, want 20 to 1232/)
})

rule('refuses an attribute that reaches beyond the message', () => {
  const bytes = stunMessageOf(1, [0x8022, utf8('abcd')])
  bytes[23] = 5
  refused(bytes, /attribute: 5 bytes at 20 of 28/)
})

rule('refuses attributes after MESSAGE-INTEGRITY-SHA256 and after FINGERPRINT', () => {
  const integrity: [number, Uint8Array] = [0x001c, new Uint8Array(32)]
  refused(stunMessageOf(1, integrity, [0x8022, utf8('later')]), /attributes after/)
  refused(stunMessageOf(1, integrity, integrity), /attributes after/)
  refused(
    stunMessageOf(1, [0x8028, new Uint8Array(4)], [0x8022, utf8('later')]),
    /attributes after/,
  )
})

const port = fc.integer({ min: 1, max: 65535 })
const address = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .filter((text) => !text.includes('::ffff:'))
  .map(parseIpAddress)
const text = fc.string({ unit: 'grapheme', maxLength: 60 })
const messages: fc.Arbitrary<StunMessage> = fc.record(
  {
    kind: fc.constantFrom('request', 'indication', 'success', 'error'),
    transactionId: fc.uint8Array({ minLength: 12, maxLength: 12 }),
    software: text,
    priority: fc.integer({ min: 0, max: 0xffffffff }),
    useCandidate: fc.constant(true as const),
    username: text,
    mappedAddress: fc.record({ address, port }, { noNullPrototype: true }),
    error: fc.record(
      { code: fc.integer({ min: 300, max: 699 }), reason: text },
      { noNullPrototype: true },
    ),
    unknownAttributes: fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }),
  },
  { requiredKeys: ['kind', 'transactionId'], noNullPrototype: true },
)

rule('reads back what it wrote, and writes the same bytes again', () => {
  const property = fc.property(messages, fc.boolean(), (message, isProtected) => {
    const bytes = encodeStun(message, isProtected ? KEY : undefined)
    const read = parseStun(bytes)
    assert.equal(read, {
      ...message,
      unknownRequired: [],
      hasIntegrity: isProtected,
      hasFingerprint: true,
    })
    assert.is(verifyIntegrity(bytes, KEY), isProtected)
    assert.equal(encodeStun(read, isProtected ? KEY : undefined), bytes)
  })
  fc.assert(property, { numRuns: 300 })
})

/** Anything; and what looks enough like STUN to get past the header. */
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .tuple(
      fc.constantFrom(0x0001, 0x0011, 0x0101, 0x0111),
      fc.array(
        fc.tuple(
          fc.oneof(
            fc.constantFrom(1, 6, 8, 9, 10, 0x1c, 0x20, 0x24, 0x25, 0x8022),
            fc.integer({ min: 0, max: 0xffff }),
          ),
          fc.uint8Array({ maxLength: 40 }),
        ),
        { maxLength: 8 },
      ),
    )
    .map(([type, attributes]) => stunMessageOf(type, ...attributes)),
)

rule('gives a message or MalformedError for any bytes', () => {
  let read = 0
  const property = fc.property(anyBytes, (bytes) => {
    try {
      parseStun(bytes)
      read += 1
    } catch (error) {
      assert.instance(error, MalformedError)
    }
    try {
      assert.not(verifyIntegrity(bytes, KEY))
    } catch (error) {
      assert.instance(error, MalformedError)
    }
  })
  fc.assert(property, { numRuns: 2000 })
  assert.ok(read > 50, `only ${read} of 2000 were messages`)
})

rule('reads a message that lies inside a larger buffer', () => {
  const bytes = encodeStun(SUCCESS, KEY)
  const inside = concat(new Uint8Array(7), bytes, new Uint8Array(9)).subarray(7, 7 + bytes.length)
  assert.equal(parseStun(inside), parseStun(bytes))
  assert.ok(verifyIntegrity(inside, KEY))
})

rule('keeps no view of the datagram it read', () => {
  const bytes = encodeStun(SUCCESS, KEY)
  const message = parseStun(bytes)
  bytes.fill(0)
  assert.equal(message.transactionId, TRANSACTION)
})

rule.run()
