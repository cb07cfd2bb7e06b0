import { execFileSync } from 'node:child_process'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../crypto/bytes.ts'
import { KeyFileError, readKeyFile, writeKeyFile } from '../../crypto/key-file.ts'

const KEY = fromHex('7f'.repeat(32))
const OTHER = fromHex('01'.repeat(32))

const rule = suite<{ directory: string; path: string }>('key files')

rule.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'nexodus-key-file-'))
  context.path = join(context.directory, 'device.key')
})

rule.after.each(async ({ directory }) => {
  await rm(directory, { recursive: true })
})

const refusal = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt
  } catch (error) {
    if (error instanceof KeyFileError) return error.message
    throw error
  }
  throw new Error('was not refused')
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

rule('reads what it wrote', async ({ path }) => {
  await writeKeyFile(path, KEY)
  assert.equal(await readKeyFile(path, 32), KEY)
})

rule('is undefined where there is no file', async ({ path }) => {
  assert.is(await readKeyFile(path, 32), undefined)
})

rule('writes for the owner alone, whatever the umask', async ({ path }) => {
  const before = process.umask(0)
  try {
    await writeKeyFile(path, KEY)
  } finally {
    process.umask(before)
  }
  assert.is(await modeOf(path), 0o600)
})

rule('leaves nothing but the file', async ({ directory, path }) => {
  await writeKeyFile(path, KEY)
  await writeKeyFile(path, OTHER)
  assert.equal(await readdir(directory), ['device.key'])
  assert.equal(await readKeyFile(path, 32), OTHER)
})

rule('replaces a file whole, so that a reader has the old or the new', async ({ path }) => {
  await writeKeyFile(path, KEY)
  const { ino } = await stat(path)
  await writeKeyFile(path, OTHER)
  assert.is.not((await stat(path)).ino, ino)
})

rule('does not write through what a crash or a stranger left in its way', async (context) => {
  const { directory, path } = context
  const elsewhere = join(directory, 'elsewhere')
  await writeFile(elsewhere, 'untouched')
  await symlink(elsewhere, `${path}.new`)
  await writeKeyFile(path, KEY)
  assert.is(await readFile(elsewhere, 'utf8'), 'untouched')
  await writeFile(`${path}.new`, 'half', { mode: 0o666 })
  await writeKeyFile(path, OTHER)
  assert.is(await modeOf(path), 0o600)
  assert.equal(await readKeyFile(path, 32), OTHER)
})

rule('refuses a file that others may read, naming path, mode and remedy', async ({ path }) => {
  for (const mode of [0o640, 0o604, 0o660, 0o644, 0o620]) {
    await writeKeyFile(path, KEY)
    await chmod(path, mode)
    assert.is(
      await refusal(readKeyFile(path, 32)),
      `${path} has mode 0${mode.toString(8)}: others may read it (chmod 600 ${path})`,
    )
  }
  await chmod(path, 0o600)
  assert.equal(await readKeyFile(path, 32), KEY)
})

rule('accepts a file that not even its owner may write', async ({ path }) => {
  await writeKeyFile(path, KEY)
  await chmod(path, 0o400)
  assert.equal(await readKeyFile(path, 32), KEY)
})

rule('refuses a file of another length, naming both and not the bytes', async ({ path }) => {
  for (const length of [0, 31, 33, 4096]) {
    await writeFile(path, new Uint8Array(length).fill(0x7f), { mode: 0o600 })
    assert.is(
      await refusal(readKeyFile(path, 32)),
      `${path} has ${length} bytes, want 32 (restore it from a backup)`,
    )
  }
})

rule('refuses a directory and a named pipe, without waiting for it', async ({ path }) => {
  await mkdir(path)
  assert.match(await refusal(readKeyFile(path, 32)), 'is not a file')
  execFileSync('mkfifo', ['-m', '600', `${path}.pipe`])
  assert.match(await refusal(readKeyFile(`${path}.pipe`, 32)), 'is not a file')
})

rule('says which file it could not read or write, and why', async ({ directory, path }) => {
  await writeFile(path, 'a file, not a directory')
  const below = join(path, 'device.key')
  assert.match(await refusal(readKeyFile(below, 32)), /^cannot read .*device\.key: ENOTDIR/)
  assert.match(await refusal(writeKeyFile(below, KEY)), /^cannot write .*device\.key: ENOTDIR/)
  const missing = join(directory, 'missing', 'device.key')
  assert.match(await refusal(writeKeyFile(missing, KEY)), /^cannot write .*: ENOENT/)
})

rule.run()
