/** The socket by which the store command has a backup from a registry that runs: with level, nobody else
 *  can read the records meanwhile. In the state directory, where only the registry's user comes. */
import { chmod, rm } from 'node:fs/promises'
import { createServer, request, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Log } from '../protocol/log.ts'
import { backupLines } from './backup.ts'
import { ConfigError } from './config.ts'
import type { Store } from './store/store.ts'

const BACKUP = '/backup'
/** Backups at once. */
const CONNECTIONS = 4

function socketOf(stateDirectory: string): string {
  return join(stateDirectory, 'registry.sock')
}

export interface BackupSocketParts {
  readonly store: Store
  readonly stateDirectory: string
  readonly now: () => number
  readonly log: Log
}

/** Where the socket can't be made, the registry runs without. */
export async function startBackupSocket(parts: BackupSocketParts): Promise<AsyncDisposable> {
  const { stateDirectory, log } = parts
  const path = socketOf(stateDirectory)
  const server = createServer((wanted, response) => {
    if (wanted.method !== 'GET' || wanted.url !== BACKUP) return void response.writeHead(404).end()
    void answer(parts, response)
  })
  server.maxConnections = CONNECTIONS
  // Left by a registry that was killed: the store's lock, or its own key, says that none runs here.
  await rm(path, { force: true })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.once('error', (error) => {
    log('warn', 'backup.no-socket', { path, error })
    resolve()
  })
  server.listen(path, resolve)
  await promise
  if (server.listening) await chmod(path, 0o600)
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      if (server.listening) await new Promise((done) => server.close(done))
    },
  }
}

async function answer(
  { store, stateDirectory, now, log }: BackupSocketParts,
  response: ServerResponse,
): Promise<void> {
  const createdAt = new Date(now() * 1000).toISOString()
  try {
    const lines = backupLines({ store, stateDirectory, createdAt })
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    await pipeline(Readable.from(lines), response)
    log('info', 'backup.given', { createdAt })
  } catch (error) {
    // The answer breaks off, and who reads it finds its end missing.
    log('error', 'backup.failed', { error })
  }
}

/** The backup of the registry that runs in this state directory; undefined where none does. */
export async function backupOfRunning(
  stateDirectory: string,
): Promise<AsyncIterable<string> | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<AsyncIterable<string> | undefined>()
  const asked = request({ socketPath: socketOf(stateDirectory), path: BACKUP })
  asked.on('response', (response) => {
    if (response.statusCode === 200) return resolve(linesOf(response))
    response.resume()
    reject(new ConfigError(`the registry in ${stateDirectory} answered ${response.statusCode}`))
  })
  asked.on('error', (error) => {
    const code = 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return resolve(undefined)
    reject(new ConfigError(`${socketOf(stateDirectory)}: ${error.message}`, { cause: error }))
  })
  asked.end()
  return promise
}

async function* linesOf(input: NodeJS.ReadableStream): AsyncIterable<string> {
  for await (const line of createInterface({ input })) yield `${line}\n`
}
