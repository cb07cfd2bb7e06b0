// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openWithPassphrase, sealedLength, sealWithPassphrase } from '../../crypto/passphrase.ts'

const rule = suite('secrets sealed with a passphrase')
const SECRET = new Uint8Array(32).fill(5)

rule('opens with the passphrase, typed in either Unicode form, and with nothing else', async () => {
  const sealed = await sealWithPassphrase(SECRET, 'caf\u00e9 au lait', 'a key')
  assert.is(sealed.length, sealedLength(32))
  assert.equal(await openWithPassphrase(sealed, 'cafe\u0301 au lait', 'a key'), SECRET)
  assert.is(await openWithPassphrase(sealed, 'cafe au lait', 'a key'), undefined)
  assert.is(await openWithPassphrase(sealed, 'caf\u00e9 au lait', 'another key'), undefined)
})

rule('any changed byte, a cut and foreign bytes do not open', async () => {
  const sealed = await sealWithPassphrase(SECRET, 'passphrase', 'a key')
  for (const at of [0, 40, sealed.length - 1]) {
    const changed = Uint8Array.from(sealed)
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.is(await openWithPassphrase(changed, 'passphrase', 'a key'), undefined, `byte ${at}`)
  }
  assert.is(await openWithPassphrase(sealed.subarray(0, 60), 'passphrase', 'a key'), undefined)
  assert.is(
    await openWithPassphrase(new Uint8Array(sealed.length), 'passphrase', 'a key'),
    undefined,
  )
})

rule('two seals of one secret have nothing in common', async () => {
  const [a, b] = await Promise.all(
    [1, 2].map(() => sealWithPassphrase(SECRET, 'passphrase', 'a key')),
  )
  assert.is.not(
    Buffer.from(a ?? [])
      .toString('hex')
      .slice(32),
    Buffer.from(b ?? [])
      .toString('hex')
      .slice(32),
  )
})

rule.run()
