/** Ruleset watch: hears at once when somebody changes a table of nftables (`nft monitor`). */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { Commands } from './run.ts'

export interface RulesetWatchOptions {
  readonly table: string
  /** The table was touched, by whomever; also when what happened was not seen. */
  readonly onTouched: () => void
  readonly commands: Pick<Commands, 'start'>
  readonly clock: Pick<Clock, 'after' | 'sleep' | 'monotonicMs'>
  readonly log: Log
}

/** Milliseconds of quiet after which a transaction has been told in full. */
const QUIET_MS = 10
/** Milliseconds after which a monitor that was started listens: what happened before it did not see. */
const LISTENING_MS = 1000
/** Milliseconds before the monitor is started again; doubled up to the second. */
const [FIRST_RESTART_MS, LAST_RESTART_MS] = [500, 60_000]

/** Watches until disposed; then nothing runs. */
export function startRulesetWatch(options: RulesetWatchOptions): AsyncDisposable {
  const { table, onTouched, commands, clock, log } = options
  const ended = new AbortController()
  let child: ChildProcess | undefined
  let quiet: Cancellable | undefined
  const touched = (): void => {
    quiet ??= clock.after(QUIET_MS, () => {
      quiet = undefined
      if (!ended.signal.aborted) onTouched()
    })
  }
  const loop = async (): Promise<void> => {
    let wait = FIRST_RESTART_MS
    while (!ended.signal.aborted) {
      const begun = clock.monotonicMs()
      child = commands.start('nft', ['monitor', 'ruleset'])
      const listening = clock.after(LISTENING_MS, touched)
      const reason = await monitorEnd(child, (line) => {
        if (line.includes(table)) touched()
      })
      listening.cancel()
      if (ended.signal.aborted) return
      if (clock.monotonicMs() - begun > LAST_RESTART_MS) wait = FIRST_RESTART_MS
      log('warn', 'ruleset.monitor-ended', { table, reason, restartMs: wait })
      await clock.sleep(wait, ended.signal).catch(() => undefined)
      wait = Math.min(wait * 2, LAST_RESTART_MS)
      touched()
    }
  }
  const running = loop()
  return {
    async [Symbol.asyncDispose]() {
      ended.abort()
      quiet?.cancel()
      child?.kill('SIGKILL')
      await running
    },
  }
}

/** Resolves with why the process ended, also when it could not be started. */
function monitorEnd(child: ChildProcess, onLine: (line: string) => void): Promise<string> {
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine)
  child.stderr?.resume()
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (status, signal) => resolve(`nft monitor ended with ${status ?? signal}`))
  })
}
