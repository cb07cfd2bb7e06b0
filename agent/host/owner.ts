/** Owner: the mark of the running agent on what the kernel keeps when a process dies, so that the next
 *  start tells leftovers of a crash from what a living agent, or somebody else, made. */
import { readFileSync, readlinkSync } from 'node:fs'

/** unmarked: not an agent's · running: this or another agent lives · gone: it died ·
 *  elsewhere: it is or was in another process namespace (a container), so nobody here can tell. */
export type Owner = 'unmarked' | 'running' | 'gone' | 'elsewhere'

const MARK = /nexodus (\d+) (\d+) (\d+)/

/** `nexodus <process namespace> <pid> <start, clock ticks since boot>`: no other process ever has it. */
export function ownerMark(): string {
  return `nexodus ${processNamespace()} ${process.pid} ${startOf(process.pid)}`
}

/** Whose mark is in this text? */
export function ownerIn(text: string): Owner {
  const match = MARK.exec(text)
  if (match === null) return 'unmarked'
  const [, namespace, pid, start] = match
  if (namespace !== processNamespace()) return 'elsewhere'
  return startOf(Number(pid)) === start ? 'running' : 'gone'
}

/** The process id in a mark, for messages. */
export function ownerPid(text: string): string {
  return MARK.exec(text)?.[2] ?? 'unknown'
}

function processNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined when no such process lives. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field, the command, may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      ['ENOENT', 'ESRCH'].includes(`${error.code}`)
    ) {
      return undefined
    }
    throw error
  }
}
