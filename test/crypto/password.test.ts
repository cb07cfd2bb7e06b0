import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hashPassword, verifyPassword } from '../../crypto/password.ts'

const rule = suite('passwords (RFC 7914)')
const PASSWORD = 'correct horse battery staple'

rule('verifies the password and no other', async () => {
  const hash = await hashPassword(PASSWORD)
  assert.is(await verifyPassword(PASSWORD, hash), true)
  assert.is(await verifyPassword(`${PASSWORD} `, hash), false)
  assert.is(await verifyPassword('', hash), false)
})

rule('salts: one password has many hashes, none of which shows it', async () => {
  const [one, two] = await Promise.all([hashPassword(PASSWORD), hashPassword(PASSWORD)])
  assert.is.not(one, two)
  assert.match(one, /^scrypt\$15\$8\$3\$[\w-]{22}\$[\w-]{43}$/)
})

rule("verifies a hash computed apart, with other parameters than today's", async () => {
  // Python: hashlib.scrypt(b'pleaseletmein', salt=b'SodiumChloride12', n=16384, r=8, p=1, dklen=32)
  const hash = 'scrypt$14$8$1$U29kaXVtQ2hsb3JpZGUxMg$NU8BeOJpCTTHcHHfsU0FUOWjCSb0XJtm-23LIoN43tc'
  assert.is(await verifyPassword('pleaseletmein', hash), true)
})

rule('takes one password typed in two Unicode forms for the same', async () => {
  const hash = await hashPassword('Zürich')
  assert.is(await verifyPassword('Zu\u0308rich', hash), true)
})

rule('rejects what hashPassword did not make', async () => {
  for (const hash of ['', 'plain', 'scrypt$15$8$3$short$short', '$2b$10$abcdefghijklmnopqrstuv']) {
    try {
      await verifyPassword(PASSWORD, hash)
      assert.unreachable(hash)
    } catch (error) {
      assert.match(String(error), 'not a password hash')
    }
  }
})

rule.run()
