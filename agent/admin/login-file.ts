/** The login of this user at a registry: one file, for its owner alone. */
import { mkdir, open, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { utf8 } from '../../crypto/bytes.ts'
import { writeKeyFile } from '../../crypto/key-file.ts'
import { OperatorError } from '../errors.ts'

const LOGIN = z.strictObject({
  /** Ends in a slash. */
  registry: z.url(),
  token: z.string().regex(/^nxt_[a-z2-7]{32}$/),
})
export type Login = z.output<typeof LOGIN>

/** Bytes; ours have some hundred. */
const LARGEST = 16 * 1024

export function defaultLoginFile(environment: NodeJS.ProcessEnv): string {
  const config = environment['XDG_CONFIG_HOME'] || join(homedir(), '.config')
  return join(config, 'nexodus', 'login.json')
}

/** Throws OperatorError (ERR_USAGE): nobody has logged in, others may read it, or it is not ours. */
export async function readLogin(path: string): Promise<Login> {
  const text = await readPrivate(path)
  if (text === undefined) {
    throw new OperatorError('ERR_USAGE', 'not logged in (nexctl login --registry <url>)')
  }
  try {
    return LOGIN.parse(JSON.parse(text))
  } catch (cause) {
    throw new OperatorError('ERR_USAGE', `${path} is no login (nexctl login again)`, { cause })
  }
}

async function readPrivate(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new OperatorError('ERR_USAGE', `cannot read ${path}`, { cause })
  })
  if (file === undefined) return undefined
  try {
    const stats = await file.stat()
    const mode = stats.mode & 0o777
    if ((mode & 0o077) !== 0) {
      throw new OperatorError(
        'ERR_USAGE',
        `${path} has mode 0${mode.toString(8)}: others may read the token (chmod 600 ${path}, and log in anew)`,
      )
    }
    if (!stats.isFile() || stats.size > LARGEST) {
      throw new OperatorError('ERR_USAGE', `${path} is no login (move it away)`)
    }
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/** Mode 0600 from its first byte. Throws KeyFileError. */
export async function writeLogin(path: string, login: Login): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeKeyFile(path, utf8(`${JSON.stringify(login, undefined, 2)}\n`))
}

export async function removeLogin(path: string): Promise<void> {
  await rm(path, { force: true })
}
