/** nexctl as a process of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const NEXCTL = fileURLToPath(new URL('../../agent/nexctl.ts', import.meta.url))

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** @param heard called with standard error as it comes */
export function nexctl(
  argv: readonly string[],
  heard: (text: string) => void = () => undefined,
): Promise<Ran> {
  const child = spawn(process.execPath, [NEXCTL, ...argv])
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => {
    stdout += String(data)
  })
  child.stderr.on('data', (data) => {
    stderr += String(data)
    heard(stderr)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => resolve({ status, stdout, stderr }))
  })
}
