/** A stream of echoes (probe.py) and what became of each. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Namespace, Running } from './namespace.ts'

/** Milliseconds of CLOCK_MONOTONIC, which every process of a machine shares. */
export interface Echo {
  readonly sentMs: number
  /** Undefined: not yet, or never. */
  readonly receivedMs: number | undefined
}

export interface Probe {
  /** So far, in the order of sending. */
  echoes(): readonly Echo[]
  stop(): Promise<readonly Echo[]>
}

/** The same clock as the echoes'. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Resolves when the first echo is about to leave. */
export async function startProbe(
  from: Namespace,
  address: string,
  intervalMs: number,
  folder: string,
): Promise<Probe> {
  const script = new URL('probe.py', import.meta.url).pathname
  const log = join(folder, `probe-${randomBytes(4).toString('hex')}.log`)
  const running: Running = from.spawn(log, 'python3', ['-u', script, address, String(intervalMs)])
  await running.waitFor(/^ready$/)
  return {
    echoes: () => echoesOf(running.lines),
    stop: async () => {
      await running.stop('SIGTERM')
      return echoesOf(running.lines)
    },
  }
}

/** What probe.py printed. Lines of any other form are left out. */
export function echoesOf(lines: readonly string[]): readonly Echo[] {
  const echoes = new Map<number, Echo>()
  for (const line of lines) {
    const [, kind, sequence, sent, received] =
      /^([sr]) (\d+) (\d+\.\d+)(?: (\d+\.\d+))?$/.exec(line) ?? []
    if (sent === undefined) continue
    const receivedMs = kind === 'r' && received !== undefined ? Number(received) : undefined
    const known = echoes.get(Number(sequence))?.receivedMs
    echoes.set(Number(sequence), { sentMs: Number(sent), receivedMs: receivedMs ?? known })
  }
  return [...echoes.values()]
}
