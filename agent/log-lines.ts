/** Log lines: JSON on standard error, for the journal. They are kept until `open` has loaded what writes them,
 *  for that is not needed before the first packet. */
import type { Clock } from '../protocol/clock.ts'
import type { Log, LogLevel } from '../protocol/log.ts'

export interface LogLines {
  readonly log: Log
  /** Writes what was kept, and from now on each line at once. */
  open(): Promise<void>
}

type Line = Parameters<Log>

/** @param level the least that is written */
export function keptLogLines(level: LogLevel, clock: Pick<Clock, 'nowMs'>): LogLines {
  let kept: Line[] = []
  let write: Log = (...line) => void kept.push(line)
  let opened: Promise<void> | undefined
  const open = async (): Promise<void> => {
    write = await writerOf(level)
    for (const line of kept) write(...line)
    kept = []
  }
  return {
    log: (at, event, fields) =>
      write(at, event, { time: new Date(clock.nowMs()).toISOString(), event, ...fields }),
    open: () => {
      opened ??= open()
      return opened
    },
  }
}

async function writerOf(level: LogLevel): Promise<Log> {
  const { default: pino } = await import('pino')
  const logger = pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: false,
      redact: ['*.privateKey', '*.registrationKey', '*.token'],
    },
    pino.destination(2),
  )
  return (at, _event, fields) => logger[at](fields)
}
