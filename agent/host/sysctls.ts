/** Sysctls: switches of the kernel that the agent turns while it needs them. What they were is kept on disk, so that a
 *  crash leaves nothing turned: the next start on this boot turns them back. Those that others have come to need
 *  meanwhile stay. */
import { readFileSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import type { Log } from '../../protocol/log.ts'
import { OperatorError } from '../errors.ts'
import type { Commands } from './run.ts'

export interface Sysctls {
  /** Sets them (names with slashes, below /proc/sys), all that are there; what they were is remembered once.
   *  Throws OperatorError where the host does not allow it. */
  set(wanted: ReadonlyMap<string, string>): Promise<void>
  /** As before the first `set`, but for a family that others have come to need. Names that are gone are passed over. */
  restore(): Promise<void>
}

const KEPT = z.object({
  boot: z.string(),
  before: z.record(z.string(), z.string()),
  users: z.array(z.string()).default([]),
})

export interface SysctlsOptions {
  readonly commands: Commands
  /** Where it is remembered. */
  readonly file: string
  /** Chains of others that need the switches, as `family table name`. */
  readonly users: () => Promise<readonly string[]>
  readonly log: Log
}

/** What an earlier process left in the file is turned back first. */
export async function openSysctls({
  commands,
  file,
  users,
  log,
}: SysctlsOptions): Promise<Sysctls> {
  const before = new Map<string, string>()
  /** Who was there when the first switch was turned, and did without it. */
  let usersBefore: readonly string[] = []
  const restore = async (): Promise<void> => {
    if (before.size === 0) return
    const there = await users().catch(() => [])
    const needs = neededBy(there.filter((user) => !usersBefore.includes(user)))
    const kept = [...before.keys()].filter((name) => needs(name).length > 0)
    for (const [name, value] of before)
      if (!kept.includes(name)) await write(commands, name, value).catch(() => undefined)
    if (kept.length > 0) {
      const chains = [...new Set(kept.flatMap(needs))]
      log('warn', 'router.forwarding-left-on', { switches: kept, chains, hint: HINT })
    }
    before.clear()
    await rm(file, { force: true })
  }
  const left = await leftBy(file)
  usersBefore = left.users
  for (const [name, value] of Object.entries(left.before)) before.set(name, value)
  await restore()
  return {
    set: async (wanted) => {
      const now = await Promise.all([...wanted.keys()].map((name) => read(commands, name)))
      const changes = [...wanted].flatMap(([name, value], index): [string, string, string][] => {
        const was = now[index]
        return was === undefined || was === value ? [] : [[name, was, value]]
      })
      if (before.size === 0 && changes.length > 0) usersBefore = await users()
      for (const [name, was] of changes) if (!before.has(name)) before.set(name, was)
      if (changes.length > 0) await keep(file, before, usersBefore)
      for (const [name, , value] of changes) {
        await write(commands, name, value).catch((cause: unknown) => {
          const line = `${name.replaceAll('/', '.')}=${value}`
          throw new OperatorError(
            'ERR_USAGE',
            `cannot set ${line} (set it by sysctl.d(5), or give nexd's unit ProtectKernelTunables=no)`,
            { cause },
          )
        })
      }
    },
    restore,
  }
}

const HINT =
  'others have begun to forward meanwhile; if they need it no more, turn it off by sysctl -w'

/** Which of these chains need a switch: those of its family. */
function neededBy(chains: readonly string[]): (name: string) => readonly string[] {
  return (name) => {
    const families = name.startsWith('net/ipv6/') ? ['ip6', 'inet'] : ['ip', 'inet']
    return chains.filter((chain) => families.includes(chain.split(' ')[0] ?? ''))
  }
}

async function read(commands: Commands, name: string): Promise<string | undefined> {
  return commands.run('cat', [`/proc/sys/${name}`]).then(
    (text) => text.trim(),
    () => undefined,
  )
}

async function write(commands: Commands, name: string, value: string): Promise<void> {
  await commands.run('tee', [`/proc/sys/${name}`], { input: value })
}

async function keep(
  file: string,
  before: ReadonlyMap<string, string>,
  users: readonly string[],
): Promise<void> {
  const kept = { boot: bootId(), before: Object.fromEntries(before), users }
  await writeFile(`${file}.new`, JSON.stringify(kept), { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}

/** A reboot has put everything back already; what can't be read says nothing. */
async function leftBy(file: string): Promise<Omit<z.output<typeof KEPT>, 'boot'>> {
  const nothing = { before: {}, users: [] }
  try {
    const kept = KEPT.parse(JSON.parse(await readFile(file, 'utf8')))
    return kept.boot === bootId() ? kept : nothing
  } catch {
    return nothing
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
