import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'

const rule = suite('randomness')

rule('gives as many bytes as asked, of their own memory', () => {
  for (const length of [0, 1, 12, 32, 1000]) {
    assert.is(randomBytes(length).length, length)
    assert.is(randomBytes(length).buffer.byteLength, length)
  }
})

rule('never gives the same twice', () => {
  const seen = new Set(Array.from({ length: 1000 }, () => toHex(randomBytes(16))))
  assert.is(seen.size, 1000)
})

rule.run()
