/** Sysctls: switches of the kernel that the agent turns while it needs them. What they were is kept on disk, so that a
 *  crash leaves nothing turned: the next start on this boot turns them back. */
import { readFileSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { OperatorError } from '../errors.ts'
import type { Commands } from './run.ts'

export interface Sysctls {
  /** Sets them (names with slashes, below /proc/sys), all that are there; what they were is remembered once.
   *  Throws OperatorError where the host does not allow it. */
  set(wanted: ReadonlyMap<string, string>): Promise<void>
  /** As before the first `set`. Names that are gone are passed over. */
  restore(): Promise<void>
}

const KEPT = z.object({ boot: z.string(), before: z.record(z.string(), z.string()) })

/** @param file where it is remembered. What an earlier process left there is turned back first. */
export async function openSysctls(commands: Commands, file: string): Promise<Sysctls> {
  const before = new Map<string, string>()
  const restore = async (): Promise<void> => {
    for (const [name, value] of before) await write(commands, name, value).catch(() => undefined)
    before.clear()
    await rm(file, { force: true })
  }
  for (const [name, value] of await leftBy(file)) before.set(name, value)
  if (before.size > 0) await restore()
  return {
    set: async (wanted) => {
      const now = await Promise.all([...wanted.keys()].map((name) => read(commands, name)))
      const changes = [...wanted].flatMap(([name, value], index): [string, string, string][] => {
        const was = now[index]
        return was === undefined || was === value ? [] : [[name, was, value]]
      })
      for (const [name, was] of changes) if (!before.has(name)) before.set(name, was)
      if (changes.length > 0) await keep(file, before)
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

async function read(commands: Commands, name: string): Promise<string | undefined> {
  return commands.run('cat', [`/proc/sys/${name}`]).then(
    (text) => text.trim(),
    () => undefined,
  )
}

async function write(commands: Commands, name: string, value: string): Promise<void> {
  await commands.run('tee', [`/proc/sys/${name}`], { input: value })
}

async function keep(file: string, before: ReadonlyMap<string, string>): Promise<void> {
  const kept = { boot: bootId(), before: Object.fromEntries(before) }
  await writeFile(`${file}.new`, JSON.stringify(kept), { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}

/** A reboot has put everything back already; what can't be read says nothing. */
async function leftBy(file: string): Promise<ReadonlyMap<string, string>> {
  try {
    const { boot, before } = KEPT.parse(JSON.parse(await readFile(file, 'utf8')))
    return new Map(boot === bootId() ? Object.entries(before) : [])
  } catch {
    return new Map()
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
