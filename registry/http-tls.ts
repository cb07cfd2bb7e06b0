/** TLS by files: a certificate chain and its key, read again when they change, so that a renewed
 *  certificate needs no restart. */
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Cancellable, Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import { ConfigError } from './config.ts'

export interface TlsFiles {
  /** PEM: the server's certificate, then those that lead to its root. */
  readonly cert: string
  /** PEM, unencrypted. */
  readonly key: string
}

export interface TlsContent {
  readonly cert: Buffer
  readonly key: Buffer
}

/** How often the files are looked at. Milliseconds. */
export const TLS_LOOK_MS = 10_000

/** Throws ConfigError: a file can't be read, or they are no certificate and its key. */
export async function readTlsFiles({ cert, key }: TlsFiles): Promise<TlsContent> {
  const read = (option: string, path: string) =>
    readFile(path).catch((cause: unknown) => {
      throw new ConfigError(`${option} ${path}: cannot be read (${reasonOf(cause)})`, { cause })
    })
  const content = { cert: await read('--tls-cert', cert), key: await read('--tls-key', key) }
  try {
    createSecureContext(content)
    return content
  } catch (cause) {
    throw new ConfigError(
      `--tls-cert ${cert} and --tls-key ${key}: no PEM certificate and the key that goes with it (${reasonOf(cause)})`,
      { cause },
    )
  }
}

/** Calls `changed` with what the files hold whenever it has changed and holds together; until then what
 *  was read last goes on. */
export async function followTlsFiles(
  files: TlsFiles,
  { clock, log }: { readonly clock: Pick<Clock, 'every'>; readonly log: Log },
  changed: (content: TlsContent) => void,
): Promise<Cancellable> {
  let known = await stampOf(files)
  let looking = false
  const look = async () => {
    const stamp = await stampOf(files)
    if (stamp === known) return
    changed(await readTlsFiles(files))
    known = stamp
    log('info', 'tls.reloaded', { cert: files.cert })
  }
  return clock.every(TLS_LOOK_MS, () => {
    if (looking) return
    looking = true
    look()
      // Half written, perhaps: the next look reads it again.
      .catch((error: unknown) => log('warn', 'tls.reload-failed', { error }))
      .finally(() => {
        looking = false
      })
  })
}

/** Differs when a file was replaced or written. Missing files have one too: they are between two names. */
async function stampOf({ cert, key }: TlsFiles): Promise<string> {
  const stamps = await Promise.all(
    [cert, key].map((path) =>
      stat(path).then(
        ({ ino, mtimeMs, size }) => `${ino} ${mtimeMs} ${size}`,
        () => 'missing',
      ),
    ),
  )
  return stamps.join('\n')
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
