/** Processes of the laboratory as the kernel counts them: who started whom, and the time they took. */
import { readFileSync } from 'node:fs'
import { run } from './namespace.ts'

/** The process and all that it has started, directly or not. */
export async function processTree(pid: number): Promise<readonly number[]> {
  return treeOf(pid, await run('ps', ['-e', '-o', 'pid=,ppid=']))
}

/** From lines of `pid ppid`. */
export function treeOf(pid: number, listing: string): readonly number[] {
  const pairs = listing
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  const found = [pid]
  for (const parent of found)
    for (const [child = 0, of] of pairs)
      if (of === parent && !found.includes(child)) found.push(child)
  return found
}

/** Of user and system together, seconds since its start. proc_pid_stat(5), fields 14 and 15; a tick is
 *  10 ms on every Linux (CLK_TCK). */
export function cpuSeconds(pid: number): number {
  return cpuSecondsOf(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

/** The name in field 2 may hold blanks and brackets. */
export function cpuSecondsOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
