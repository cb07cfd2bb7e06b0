import { format, inspect } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sealingKey } from '../../crypto/aead.ts'
import { agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { fromHex, toBase64, toHex } from '../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'

const rule = suite('private keys')

const SECRET = fromHex('40'.repeat(32))
const holders = {
  signing: signingKeyPairFromSeed(SECRET),
  agreement: agreementKeyPairFromPrivate(SECRET),
  sealing: { privateKey: sealingKey(SECRET) },
}

for (const [name, { privateKey }] of Object.entries(holders)) {
  rule(`never print: ${name}`, () => {
    const holder = { privateKey }
    const printed = [
      inspect(holder, { depth: 9, showHidden: true }),
      inspect(privateKey, { showHidden: true }),
      format('%o %O %j %s', holder, holder, holder, privateKey),
      JSON.stringify(holder),
      String(privateKey),
      `${privateKey}`,
    ]
    for (const text of printed) {
      assert.match(text, '[private key]')
      for (const form of [toHex(SECRET), toBase64(SECRET), '64, 64, 64', '40 40 40', 'KeyObject']) {
        assert.not(text.includes(form), text)
      }
    }
  })

  rule(`have nothing to copy: ${name}`, () => {
    assert.equal(Object.keys({ ...privateKey }), [])
    assert.equal(Reflect.ownKeys(privateKey), [])
  })
}

rule.run()
