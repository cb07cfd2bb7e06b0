import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../crypto/bytes.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  encodeStun,
  PADDED_STUN_BYTES,
  parseStun,
  STUN_BYTES,
  type StunMessage,
  verifyIntegrity,
} from '../../protocol/stun.ts'
import { stunMessageOf, TRANSACTION_ID } from '../support/stun-message.ts'

const rule = suite('PADDING of a check (SPEC §10.1, §10.7, RFC 5780 §7.6)')

const KEY = fromHex('0f'.repeat(32))
const CHECK: StunMessage = {
  kind: 'request',
  transactionId: TRANSACTION_ID,
  username: 'AAAAAAAAAAAA:BBBBBBBBBBBB',
}
const PADDING = 0x0026

const refused = (bytes: Uint8Array, message: RegExp): void =>
  assert.throws(
    () => parseStun(bytes),
    (error: unknown) => error instanceof MalformedError && message.test(error.message),
  )

rule('makes a check longer by just so many bytes, zeros, and the check says how many', () => {
  const plain = encodeStun(CHECK, KEY)
  fc.assert(
    fc.property(fc.nat((PADDED_STUN_BYTES - plain.length - 4) / 4), (words) => {
      const bytes = encodeStun({ ...CHECK, padding: 4 * words }, KEY)
      assert.is(bytes.length, plain.length + 4 + 4 * words)
      assert.equal(parseStun(bytes).unknownRequired, [])
      assert.is(parseStun(bytes).padding, 4 * words)
      assert.ok(verifyIntegrity(bytes, KEY))
    }),
  )
})

rule('refuses a flip in the padding of a check with integrity', () => {
  const bytes = encodeStun({ ...CHECK, padding: 1000 }, KEY)
  for (let at = 100; at < 1000; at += 100) {
    const flipped = Uint8Array.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ 1
    assert.throws(() => parseStun(flipped), /FINGERPRINT/)
    assert.not(verifyIntegrity(flipped, KEY))
  }
})

rule('refuses to encode what is no multiple of 4, negative or longer than any packet', () => {
  for (const padding of [-4, 1, 2.5, PADDED_STUN_BYTES + 4, Number.NaN]) {
    assert.throws(
      () => encodeStun({ ...CHECK, padding }, KEY),
      (error: unknown) => error instanceof RangeError,
    )
  }
  const tooLong = { ...CHECK, padding: PADDED_STUN_BYTES - 40 }
  assert.throws(() => encodeStun(tooLong, KEY), /limit 9216/)
})

rule('refuses a padded answer and a padded indication beyond the length of any message', () => {
  const long: [number, Uint8Array] = [PADDING, new Uint8Array(STUN_BYTES)]
  for (const type of [0x0101, 0x0111, 0x0011]) {
    refused(stunMessageOf(type, long), /1256 bytes, want 20 to 1232/)
  }
  assert.throws(
    () => encodeStun({ kind: 'success', transactionId: TRANSACTION_ID, padding: STUN_BYTES }),
    /limit 1232/,
  )
})

rule('refuses a request that is long for any other reason', () => {
  const text: [number, Uint8Array] = [0x8022, new Uint8Array(500)]
  refused(stunMessageOf(1, text, text, text), /1532 bytes besides PADDING, limit 1232/)
  const padding: [number, Uint8Array] = [PADDING, new Uint8Array(100)]
  refused(stunMessageOf(1, padding, text, text, text), /1536 bytes besides PADDING, limit 1232/)
  refused(stunMessageOf(1, [PADDING, new Uint8Array(PADDED_STUN_BYTES)]), /want 20 to 9216/)
})

rule.run()
