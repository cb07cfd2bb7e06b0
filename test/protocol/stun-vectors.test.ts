import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex, toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { isStun, parseStun, type ReceivedStun, verifyIntegrity } from '../../protocol/stun.ts'

const rule = suite('STUN test vectors (RFC 5769, RFC 8489 B.1)')

interface Vector {
  readonly name: string
  readonly message: string
  readonly expected: Record<string, unknown>
}

const vectors = <V extends Vector>(file: string): readonly V[] =>
  JSON.parse(readFileSync(new URL(`../vectors/stun/${file}`, import.meta.url), 'utf8')).vectors

const readable = (message: ReceivedStun): Record<string, unknown> => ({
  ...message,
  transactionId: toHex(message.transactionId),
})

for (const file of ['rfc5769.json', 'rfc8489.json']) {
  for (const { name, message, expected } of vectors(file)) {
    rule(`reads ${file} "${name}"`, () => {
      assert.ok(isStun(fromHex(message)))
      assert.equal(readable(parseStun(fromHex(message))), expected)
    })
  }
}

rule('refuses a vector of RFC 5769 whose FINGERPRINT covers other bytes', () => {
  for (const { message, expected } of vectors('rfc5769.json')) {
    if (expected['hasFingerprint'] !== true) continue
    const other = fromHex(message)
    other[30] = (other[30] ?? 0) ^ 1
    assert.throws(() => parseStun(other), /FINGERPRINT/)
  }
})

interface Credentials extends Vector {
  readonly credentials: { username: string; realm: string; password: string }
  readonly key: string
  readonly userhash: string
}

rule(
  'verifies MESSAGE-INTEGRITY-SHA256 of RFC 8489 B.1 (erratum 6268) by its own key alone',
  () => {
    for (const vector of vectors<Credentials>('rfc8489.json')) {
      const { username, realm, password } = vector.credentials
      const key = sha256(utf8(`${username}:${realm}:${password}`))
      assert.is(toHex(key), vector.key)
      assert.ok(vector.message.includes(toHex(sha256(utf8(`${username}:${realm}`)))))
      assert.ok(verifyIntegrity(fromHex(vector.message), key))
      assert.not(verifyIntegrity(fromHex(vector.message), sha256(utf8('another'))))
    }
  },
)

rule('does not take MESSAGE-INTEGRITY (SHA-1) for integrity', () => {
  const [request] = vectors('rfc5769.json')
  const bytes = fromHex(request?.message ?? '')
  assert.not(verifyIntegrity(bytes, utf8('VOkJxbRl1RmTxUk/WvJxBt')))
  assert.equal(parseStun(bytes).unknownRequired, [0x0008])
})

rule.run()
