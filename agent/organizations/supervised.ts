/** Supervised: the process of a further organization, started again when it ends, and stopped so that it undoes what it
 *  did on the host. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { type Endings, NO_ENDINGS, nextStart } from './backoff.ts'
import { type FromFurther, parseFromFurther, type ToFurther } from './messages.ts'

/** What is to be run: its first word is the program. */
export interface Launch {
  readonly command: readonly [string, ...string[]]
  readonly env: NodeJS.ProcessEnv
}

export interface SupervisedOptions {
  readonly label: string
  launch(): Launch
  /** Is it to be started again where it ends? */
  isKept(): boolean
  onMessage(message: FromFurther): void
  /** Aborted when this process is to end: whoever stops it may have told its children, too. */
  readonly stop: AbortSignal
  readonly clock: Clock
  readonly log: Log
}

export interface Standing {
  readonly state: 'starting' | 'waiting' | 'running' | 'restarting' | 'failed'
  readonly reason?: string
  readonly link?: string
  readonly code?: string
  readonly fingerprint?: string
}

/** Milliseconds that a stop may take: 5000 for routers to drain, and what the host's commands take where it is busy, after
 *  a start that is under way. Two of these, and a sweep, are within what the unit file lets a stop take. */
const STOP_MS = 30_000
/** Milliseconds that one start may take whose only purpose is to remove what a crash left. */
const SWEEP_MS = 30_000

export class Supervised implements AsyncDisposable {
  readonly #options: SupervisedOptions
  #standing: Standing = { state: 'starting' }
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #endings: Endings = NO_ENDINGS
  #again: Cancellable | undefined
  #reason: string | undefined
  /** Did one end without a chance to clean up, and none after it with one? */
  #isDirty = false
  /** Before its first word it has done nothing on the host. */
  #hasSpoken = false
  #isStopping = false

  constructor(options: SupervisedOptions) {
    this.#options = options
    options.stop.addEventListener('abort', this.#halt)
    if (options.stop.aborted) this.#halt()
    else this.#start()
  }

  get standing(): Standing {
    return this.#standing
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Nothing is started any more. */
  readonly #halt = (): void => {
    this.#isStopping = true
    this.#again?.cancel()
  }

  /** Harmless where it does not run. */
  tell(message: ToFurther): void {
    if (this.#child?.connected === true) this.#child.send(message, () => undefined)
  }

  #start(): void {
    const { clock, launch } = this.#options
    const { command, env } = launch()
    const [program, ...args] = command
    const startedMs = clock.monotonicMs()
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const
    const child = spawn(program, args, { env, stdio: [...stdio] })
    this.#child = child
    this.#reason = undefined
    this.#hasSpoken = false
    child.on('message', (message) => this.#hear(message))
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended = promise
    const end = (how: string, isClean: boolean): void => {
      if (this.#child !== child) return
      this.#child = undefined
      if (this.#hasSpoken) this.#isDirty = !isClean
      this.#closed(how, clock.monotonicMs() - startedMs)
      resolve()
    }
    child.once('error', (error) => end(explain(error), true))
    child.once('exit', (code, signal) => {
      // Of an end that it announced it has cleaned up.
      const isClean = code === 0 || (code !== null && this.#reason !== undefined)
      end(signal === null ? `it ended with code ${code}` : `it ended by ${signal}`, isClean)
    })
  }

  #hear(message: unknown): void {
    const { label, log, onMessage } = this.#options
    this.#hasSpoken = true
    try {
      const said = parseFromFurther(message)
      this.#follow(said)
      onMessage(said)
    } catch (error) {
      log('error', 'organization.message-refused', { organization: label, reason: explain(error) })
    }
  }

  #follow(said: FromFurther): void {
    if (said.kind === 'announce') {
      const { link, code, fingerprint } = said
      this.#standing = { state: 'waiting', link, code, fingerprint }
    } else if (said.kind === 'approved') {
      this.#standing = { state: 'waiting', reason: 'an admin of the organization has to agree' }
    } else if (said.kind === 'running') this.#standing = { state: 'running' }
    else if (said.kind === 'ending') this.#reason = said.reason
  }

  #closed(how: string, ranMs: number): void {
    if (this.#isStopping) return
    const { label, isKept, clock, log } = this.#options
    const reason = this.#reason ?? how
    if (!isKept()) {
      this.#standing = { state: 'failed', reason }
      log('error', 'organization.failed', { organization: label, reason })
      return
    }
    const { endings, delayMs } = nextStart(this.#endings, ranMs)
    this.#endings = endings
    this.#standing = { state: 'restarting', reason }
    log('error', 'organization.ended', { organization: label, reason, againInMs: delayMs })
    this.#again = clock.after(delayMs, () => this.#start())
  }

  /** Resolves when it has ended, and nothing of it is on the host. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#halt()
    this.#options.stop.removeEventListener('abort', this.#halt)
    await this.#end()
    // One that was never in has made nothing.
    if (this.#isDirty && this.#options.isKept()) await this.#sweep()
  }

  async #end(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const { clock, label, log } = this.#options
    child.kill('SIGTERM')
    const hard = clock.after(STOP_MS, () => {
      log('error', 'organization.killed', { organization: label, afterMs: STOP_MS })
      child.kill('SIGKILL')
    })
    await this.#ended
    hard.cancel()
  }

  /** Whoever starts removes what a crash left. */
  async #sweep(): Promise<void> {
    const { clock } = this.#options
    this.#standing = { state: 'starting' }
    const started = clock.monotonicMs()
    this.#start()
    while (this.#child !== undefined && clock.monotonicMs() - started < SWEEP_MS) {
      if (this.standing.state !== 'starting') break
      await clock.sleep(50)
    }
    await this.#end()
  }
}
