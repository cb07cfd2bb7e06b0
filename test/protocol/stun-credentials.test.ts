import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../crypto/agreement.ts'
import { fromHex, toBase64url, toHex } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { deviceKeyOf } from '../../protocol/keys.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { checkKey, checkUsername, parseCheckUsername } from '../../protocol/stun-credentials.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const server = acme.device('server')
const phone = acme.device('phone')
const rule = suite('credentials of connectivity checks (SPEC §10.2)')

rule('gives both sides of a pair one key, and each pair another', () => {
  const key = checkKey(laptop.wireguard, server.wireguard.publicKey)
  assert.equal(checkKey(server.wireguard, laptop.wireguard.publicKey), key)
  assert.is(key.length, 32)
  assert.is.not(toHex(checkKey(laptop.wireguard, phone.wireguard.publicKey)), toHex(key))
})

/** Computed apart: HMAC-SHA256 twice (RFC 5869) over K of RFC 7748 §6.1. */
const PINNED = '73850973b649699dfd704218a90592927d23d666d8d61c7b0de59e014830e717'

rule('pins the key of the pairs of RFC 7748 §6.1', () => {
  const alice = agreementKeyPairFromPrivate(
    fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'),
  )
  const bob = fromHex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
  assert.is(toHex(checkKey(alice, parseAgreementPublicKey(bob))), PINNED)
})

rule('names the receiver first, by the head of the hash of its key', () => {
  const name = (key: Uint8Array): string => toBase64url(sha256(key).subarray(0, 9))
  const username = checkUsername(server.id, laptop.id)
  assert.is(username, `${name(deviceKeyOf(server.id))}:${name(deviceKeyOf(laptop.id))}`)
  assert.equal(parseCheckUsername(username), {
    receiver: relayAddressOf(server.id),
    sender: relayAddressOf(laptop.id),
  })
})

rule('refuses other texts', () => {
  const texts = ['', ':', 'AAAAAAAAAAAA', 'AAAAAAAAAAAA:', 'AAAAAAAAAAAA:AAAAAAAAAAA']
  const odd = ['AAAAAAAAAAAA:AAAAAAAAAAA=', 'AAAAAAAAAAAA:AAAAAAAAAAA ', 'evtj:h6vY']
  const three = ['AAAAAAAAAAAA:AAAAAAAAAAAA:', 'AAAAAAAAAAAA:AAAAAAAAAAAA:AAAAAAAAAAAA']
  for (const text of [...texts, ...odd, ...three]) {
    assert.throws(
      () => parseCheckUsername(text),
      (error: unknown) => error instanceof MalformedError,
      text,
    )
  }
})

rule('gives a name or MalformedError for any text', () => {
  const property = fc.property(fc.string({ maxLength: 40 }), (text) => {
    try {
      parseCheckUsername(text)
    } catch (error) {
      assert.instance(error, MalformedError)
    }
  })
  fc.assert(property)
})

rule.run()
