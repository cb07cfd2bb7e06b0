import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MalformedError } from '../../protocol/errors.ts'
import { encodeGreeting, HELLO_BYTES, parseGreeting } from '../../protocol/hello.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const rule = suite('greeting (SPEC §7.1)')

rule('keeps a greeting of six full envelopes inside its bound', () => {
  const envelopes = Array.from({ length: 6 }, () => new Uint8Array(1300))
  const greeting = { version: 1, organization: acme.id, nonce: new Uint8Array(16), envelopes }
  assert.ok(encodeGreeting(greeting).length < HELLO_BYTES)
  assert.equal(parseGreeting(encodeGreeting(greeting)), greeting)
})

rule('reads a greeting or throws MalformedError, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        assert.equal(encodeGreeting(parseGreeting(bytes)), bytes)
      } catch (error) {
        assert.instance(error, MalformedError)
      }
    }),
  )
})

rule('refuses a greeting with a seventh envelope, a short nonce or a strange version', () => {
  const greeting = { version: 1, organization: acme.id, nonce: new Uint8Array(16), envelopes: [] }
  for (const wrong of [
    { ...greeting, envelopes: Array.from({ length: 7 }, () => new Uint8Array(1)) },
    { ...greeting, nonce: new Uint8Array(15) },
    { ...greeting, version: 0 },
    { ...greeting, organization: 'short' as typeof acme.id },
  ]) {
    assert.throws(
      () => parseGreeting(encodeGreeting(wrong)),
      (error: unknown) => error instanceof MalformedError,
    )
  }
})

rule.run()
