/** The demonstration: what Nexodus does, live, on any machine, without any privilege.
 *
 *    npm run demo              --stay leaves everything up until Ctrl-C */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { z } from 'zod'
import { explain } from '../agent/errors.ts'
import { ACTS, type Act, invitation, RESTART } from './demo/acts.ts'
import type { Leashed } from './demo/leashed.ts'
import { Progress } from './demo/progress.ts'
import { FaultError, openStage, type Stage } from './demo/stage.ts'
import { readOptions } from './options.ts'

const INTRODUCTION = `Three devices and a registry start on this machine, as processes of yours.
WireGuard and TCP/IP run inside them: no root is needed, and nothing of this
machine's network is changed.
`
const FAREWELL = `
npm run demo -- --stay   leaves everything up, to play with
npm run demo:lab         the same between NATs, with delay and loss (needs root)`

/** Of one step, on a machine that may be very slow. Milliseconds. */
const STEP_MS = 180_000
/** From the end of a connection to the news that the process at its other end has ended. Milliseconds. */
const FAULT_MS = 500
/** Of the log of whoever is at fault. */
const LAST_LINES = 10
/** Milliseconds between looks for the process that started this one. */
const PARENT_MS = 500

/** Somebody wants it to end. */
class StoppedError extends Error {
  override readonly name = 'StoppedError'
  readonly code = 'ERR_DEMO_STOPPED'
  /** Of the process. */
  readonly status: number

  constructor(by: string, status: number) {
    super(`stopped by ${by}`)
    this.status = status
  }
}

const { stay } = readOptions(
  new Command('demo')
    .description('Three devices become one private network, and stay it without their registry.')
    .option('--stay', 'leave everything up at the end, to play with', false),
  z.object({ stay: z.boolean() }),
)

/** Rejects with StoppedError: by a signal, or when nobody is left to read or to wait. */
function stopped(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
  for (const [signal, status] of Object.entries(statuses)) {
    process.on(signal, () => reject(new StoppedError(signal, status)))
  }
  process.stdout.on('error', () => reject(new StoppedError('a closed output', 141)))
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) reject(new StoppedError('the end of its starter', 143))
  }, PARENT_MS)
  promise.catch(() => undefined)
  return promise
}

/** As `work` ends, unless a process breaks, somebody stops it, or it takes too long. Where a process has broken, work that
 *  fails does so because of it. */
async function watched<T>(work: Promise<T>, stage: Stage): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`not within ${STEP_MS / 1000} s`)), STEP_MS)
  try {
    return await Promise.race([work, stage.fault, stop, late.promise])
  } catch (error) {
    await Promise.race([stage.fault, stop, sleep(FAULT_MS)])
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Throws what `complain` has told. */
async function perform(act: Act, stage: Stage): Promise<void> {
  try {
    await progress.step(act.doing, () => watched(act.play(stage), stage))
  } catch (error) {
    if (!(error instanceof StoppedError)) complain(error, act.doing, stage.started(act.by))
    throw error
  }
}

/** What went wrong, and the log of whoever is at fault. */
function complain(error: unknown, doing: string, by: readonly Leashed[]): void {
  process.stderr.write(`\ndemo failed (${doing}): ${explain(error)}\n`)
  for (const { name, lines } of error instanceof FaultError ? [error.process] : by) {
    process.stderr.write(`\nThe last lines of ${name}:\n`)
    for (const line of lines.slice(-LAST_LINES)) process.stderr.write(`  ${line}\n`)
  }
}

async function stayUp(stage: Stage): Promise<void> {
  await perform(RESTART, stage)
  progress.say(invitation(stage))
  try {
    await Promise.race([stop, stage.fault])
  } catch (error) {
    if (!(error instanceof StoppedError)) complain(error, 'staying up', [])
    throw error
  }
}

/** The status to end with. */
async function show(stage: Stage): Promise<number> {
  let isComplete = false
  try {
    for (const act of ACTS) await perform(act, stage)
    isComplete = true
    if (stay) await stayUp(stage)
    return 0
  } catch (error) {
    if (!(error instanceof StoppedError)) return 1
    progress.say(isComplete ? '' : `\nThe demo is ${error.message}.`)
    return isComplete && error.status === 130 ? 0 : error.status
  }
}

/** The status to end with, once nothing is left. */
async function main(): Promise<number> {
  progress.say(INTRODUCTION)
  const stage = await openStage()
  let status = 1
  try {
    status = await show(stage)
  } finally {
    await progress.step('ending every process', async () => {
      await stage[Symbol.asyncDispose]()
      return 'every process has ended, and every file is removed'
    })
  }
  if (status === 0 && !stay) progress.say(FAREWELL)
  return status
}

const stop = stopped()
const progress = new Progress(process.stdout)
try {
  process.exit(await main())
} catch (error) {
  process.stderr.write(`demo: ${explain(error)}\n`)
  process.exit(1)
}
