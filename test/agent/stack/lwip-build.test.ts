// time limit: 300 s
/** lwip.wasm is what its sources and Debian's lwIP make: built here again, byte for byte. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'
import { tempDir } from '../../support/temp-dir.ts'

needs('wasm-clang', 'debian-mirror')

const FOLDER = fileURLToPath(new URL('../../../agent/stack/lwip', import.meta.url))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const rule = suite('lwip.wasm')

rule('has the checksum that is written beside it', async () => {
  const written = await readFile(join(FOLDER, 'lwip.wasm.sha256'), 'utf8')
  assert.is(`${sha256(await readFile(join(FOLDER, 'lwip.wasm')))}  lwip.wasm\n`, written)
})

rule('is built anew, byte for byte', async () => {
  await using folder = await tempDir()
  const built = join(folder.path, 'lwip.wasm')
  execFileSync(join(FOLDER, 'build.sh'), [built], { stdio: ['ignore', 'inherit', 'inherit'] })
  assert.is(sha256(await readFile(built)), sha256(await readFile(join(FOLDER, 'lwip.wasm'))))
})

rule('is not built from another source', async () => {
  await using folder = await tempDir()
  await folder.write({ 'other.tar.xz': 'not lwIP' })
  const env = { ...process.env, LWIP_SOURCE: join(folder.path, 'other.tar.xz') }
  assert.throws(() =>
    execFileSync(join(FOLDER, 'build.sh'), [join(folder.path, 'x')], { env, stdio: 'ignore' }),
  )
})

rule.run()
