/** Link events: tells when the host's network changed, by addresses, links and routes (`ip monitor`) or
 *  by waking from sleep. */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { LinkNews } from './link-news.ts'
import type { Commands } from './run.ts'

export interface LinkEventsOptions {
  /** The tunnel's own interface: what happens on it is no news. */
  readonly tunnelInterface: string
  readonly onChange: () => void
  readonly commands: Commands
  readonly clock: Clock
  readonly log: Log
}

/** Milliseconds of quiet after which a burst of events is one change: a dhcp client's burst is shorter. */
const QUIET_MS = 100
/** Milliseconds after which a burst that does not end is told all the same. */
const MOST_DELAY_MS = 1000
/** Milliseconds before `ip monitor` is started again; doubled up to the second. */
const [FIRST_RESTART_MS, LAST_RESTART_MS] = [500, 30_000]
/** Milliseconds between looks at the clocks, and the jump of one against the other that means sleep. */
const [WAKE_CHECK_MS, WAKE_JUMP_MS] = [2000, 5000]

/** Watches until disposed; then nothing runs and `onChange` is not called again. */
export function startLinkEvents(options: LinkEventsOptions): AsyncDisposable {
  const burst = startBurst(options)
  const monitor = startMonitor(options, burst.event)
  const wake = watchForWake(options.clock, burst.event)
  return {
    async [Symbol.asyncDispose]() {
      wake.cancel()
      burst.cancel()
      await monitor[Symbol.asyncDispose]()
    },
  }
}

function startBurst({ clock, onChange }: LinkEventsOptions): Cancellable & { event(): void } {
  let timer: Cancellable | undefined
  let since = 0
  const tell = (): void => {
    timer = undefined
    onChange()
  }
  return {
    event() {
      const now = clock.monotonicMs()
      if (timer === undefined) since = now
      timer?.cancel()
      timer = clock.after(Math.max(0, Math.min(QUIET_MS, since + MOST_DELAY_MS - now)), tell)
    },
    cancel: () => timer?.cancel(),
  }
}

function startMonitor(options: LinkEventsOptions, event: () => void): AsyncDisposable {
  const { commands, clock, log, tunnelInterface } = options
  const ended = new AbortController()
  const news = new LinkNews(tunnelInterface)
  let child: ChildProcess | undefined
  const loop = async (): Promise<void> => {
    let wait = FIRST_RESTART_MS
    while (!ended.signal.aborted) {
      const begun = clock.monotonicMs()
      child = commands.start('ip', ['-oneline', 'monitor', 'link', 'address', 'route'])
      const reason = await monitorEnd(child, (line) => {
        if (!ended.signal.aborted && news.isNews(line)) event()
      })
      if (ended.signal.aborted) return
      if (clock.monotonicMs() - begun > LAST_RESTART_MS) wait = FIRST_RESTART_MS
      log('warn', 'network.monitor-ended', { reason, restartMs: wait })
      if (!(await slept(clock, wait, ended.signal))) return
      wait = Math.min(wait * 2, LAST_RESTART_MS)
      // What happened meanwhile was not seen.
      event()
    }
  }
  const running = Promise.all([loop(), learnLinks(news, options)])
  return {
    async [Symbol.asyncDispose]() {
      ended.abort()
      child?.kill('SIGKILL')
      await running
    },
  }
}

/** What the links are like now, for a repetition is no news. Where it can't be read, the first is. */
async function learnLinks(news: LinkNews, { commands, log }: LinkEventsOptions): Promise<void> {
  try {
    const input = 'link show\naddress show\n'
    const text = await commands.run('ip', ['-oneline', '-batch', '-'], { input })
    news.learn(text.split('\n'))
  } catch (error) {
    log('debug', 'network.links-unknown', { reason: explain(error) })
  }
}

/** Resolves with why the process ended, also when it could not be started. */
function monitorEnd(child: ChildProcess, onLine: (line: string) => void): Promise<string> {
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine)
  child.stderr?.resume()
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (status, signal) => resolve(`ip monitor ended with ${status ?? signal}`))
  })
}

async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, signal)
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}

/** The monotonic clock stands still while a host sleeps, wall time does not. */
export function watchForWake(clock: Clock, event: () => void): Cancellable {
  const difference = (): number => clock.nowMs() - clock.monotonicMs()
  let before = difference()
  return clock.every(WAKE_CHECK_MS, () => {
    const now = difference()
    if (now - before > WAKE_JUMP_MS) event()
    before = now
  })
}
