/** What is wrong with the disk, as far as an error tells: of Node's file system, or of LevelDB in words. */

export type DiskFault = 'full' | 'read-only' | 'forbidden'

const CODES: Readonly<Record<string, DiskFault>> = {
  ...{ ENOSPC: 'full', EDQUOT: 'full', EROFS: 'read-only' },
  ...{ EACCES: 'forbidden', EPERM: 'forbidden' },
}

/** strerror(3) of the same, as LevelDB passes it on. */
const WORDS: readonly (readonly [RegExp, DiskFault])[] = [
  [/no space left|quota exceeded/i, 'full'],
  [/read-only file system/i, 'read-only'],
  [/permission denied/i, 'forbidden'],
]

export function diskFaultOf(error: unknown): DiskFault | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { message } = at
    const code = 'code' in at ? String(at.code) : ''
    const words = code.startsWith('LEVEL_') ? WORDS : []
    const fault = CODES[code] ?? words.find(([each]) => each.test(message))?.[1]
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Of a registry that runs: it goes on by itself once the disk does. In brackets. */
export function adviceWhileRunning(error: unknown): string {
  const fault = diskFaultOf(error)
  if (fault === 'full') return ' (free some space: it then goes on, with all it acknowledged)'
  if (fault === 'read-only') return ' (make it writable: it then goes on, with all it acknowledged)'
  return fault === 'forbidden' ? OWN : ''
}

/** Of one that does not start. In brackets. */
export function adviceAtStart(error: unknown): string {
  const fault = diskFaultOf(error)
  if (fault === 'full') {
    return ' (free some space, and start the registry again: what it acknowledged is there)'
  }
  if (fault === 'read-only') {
    return ' (make it writable, or name another directory by --store level:DIRECTORY)'
  }
  return fault === 'forbidden' ? OWN : ''
}

const OWN = ' (let the user of the registry own the directory)'
