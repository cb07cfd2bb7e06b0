/** Which process a laboratory belongs to: a record for each, where only root writes, so that what a killed
 *  one left is known and can be removed, and no two have the same prefix. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { killCommands, Namespace } from './namespace.ts'

const RECORDS = '/run/nexodus-lab'
const NAMESPACES = '/run/netns'
/** WireGuard's sockets lie in the file system that all namespaces share; a killed wireguard-go leaves its own. */
const SOCKETS = '/run/wireguard'
const RECORD = z.object({ pid: z.number(), startedAt: z.string(), folder: z.string() })
const ATTEMPTS = 20

export interface Ownership {
  /** Starts every name of the laboratory; six characters. */
  readonly prefix: string
  /** For logs and state. */
  readonly folder: string
}

/** A prefix that nobody has, and a folder. Throws where this process may not make namespaces. */
export function claim(): Ownership {
  if (process.getuid?.() !== 0)
    throw new Error('the laboratory makes network namespaces: run it as root (sudo)')
  mkdirSync(RECORDS, { recursive: true, mode: 0o700 })
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const prefix = `nx${randomBytes(2).toString('hex')}`
    if (entries(NAMESPACES).some((name) => name.startsWith(prefix))) continue
    const folder = mkdtempSync(join(tmpdir(), `${prefix}-`))
    const record = { pid: process.pid, startedAt: startOf(process.pid) ?? '', folder }
    try {
      writeFileSync(recordOf(prefix), JSON.stringify(record), { flag: 'wx', mode: 0o600 })
      return { prefix, folder }
    } catch (error) {
      rmSync(folder, { recursive: true })
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
  }
  throw new Error(
    `no free prefix in ${ATTEMPTS} attempts; "npm run lab -- clean" removes leftovers`,
  )
}

/** Removes the namespaces with all that runs in them, the sockets, the folder and the record; synchronous,
 *  so that it also works while dying. The namespaces removed. */
export function remove({ prefix, folder }: Ownership): readonly string[] {
  killCommands(prefix)
  const removed = entries(NAMESPACES).filter((name) => name.startsWith(`${prefix}-`))
  for (const name of removed) new Namespace(name).remove()
  for (const socket of entries(SOCKETS).filter((name) => name.startsWith(prefix)))
    rmSync(join(SOCKETS, socket), { force: true })
  rmSync(folder, { recursive: true, force: true })
  // What could not be removed keeps its record: the next start tries again.
  const isEmpty = !entries(NAMESPACES).some((name) => name.startsWith(`${prefix}-`))
  if (isEmpty) rmSync(recordOf(prefix), { force: true })
  return removed
}

/** Removes laboratories whose process is gone (it was killed and could not). The namespaces removed. */
export function removeStale(): readonly string[] {
  return entries(RECORDS).flatMap((file) => {
    const prefix = file.replace(/\.json$/, '')
    const record = readRecord(prefix)
    if (record === undefined || startOf(record.pid) === record.startedAt) return []
    return remove({ prefix, folder: record.folder })
  })
}

function recordOf(prefix: string): string {
  return join(RECORDS, `${prefix}.json`)
}

/** Undefined where another process has removed it meanwhile, or is still writing it. */
function readRecord(prefix: string): z.infer<typeof RECORD> | undefined {
  const text = read(recordOf(prefix))
  return text === undefined || text === '' ? undefined : RECORD.parse(JSON.parse(text))
}

/** When a process began, ticks since the boot: a process id alone is given away again. Undefined where it
 *  is gone. proc_pid_stat(5), field 22; the name in field 2 may hold blanks and brackets. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`)
  return stat
    ?.slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .at(19)
}

function read(file: string): string | undefined {
  return orUndefined(() => readFileSync(file, 'utf8'))
}

/** Nothing where there is no such folder. */
function entries(folder: string): readonly string[] {
  return orUndefined(() => readdirSync(folder)) ?? []
}

function orUndefined<T>(reading: () => T): T | undefined {
  try {
    return reading()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // ESRCH: the process ended while its file was read.
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
