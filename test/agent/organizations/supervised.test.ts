// time limit: 120 s
/** The supervisor, with real processes. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FromFurther } from '../../../agent/organizations/messages.ts'
import { NO_SHARE } from '../../../agent/organizations/share.ts'
import { Supervised } from '../../../agent/organizations/supervised.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** No wait between starts. */
const clock: Clock = { ...systemClock, after: (_ms, task) => systemClock.after(1, task) }

interface Scene extends AsyncDisposable {
  readonly supervised: Supervised
  readonly heard: FromFurther[]
  readonly logged: string[]
  readonly stop: AbortController
  runs(): Promise<number>
}

/** @param program says `process.send(…)`; each run is a line in a file */
async function scene(program: string, isKept = true, by: Clock = clock): Promise<Scene> {
  const folder = await tempDir()
  const runsFile = join(folder.path, 'runs')
  const heard: FromFurther[] = []
  const logged: string[] = []
  const stop = new AbortController()
  const counted = `const RUNS = ${JSON.stringify(runsFile)}; require('node:fs').appendFileSync(RUNS, 'x');`
  const supervised = new Supervised({
    label: 'beta',
    launch: () => ({
      command: [process.execPath, '-e', counted + program],
      env: { PATH: process.env['PATH'] ?? '' },
    }),
    isKept: () => isKept,
    onMessage: (message) => void heard.push(message),
    ...{ clock: by, stop: stop.signal },
    log: (level, event, fields) => void logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
  })
  return {
    supervised,
    heard,
    logged,
    stop,
    runs: async () => (existsSync(runsFile) ? (await readFile(runsFile, 'utf8')).length : 0),
    [Symbol.asyncDispose]: async () => {
      await supervised[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await systemClock.sleep(20)
}

const STAYS =
  "process.on('SIGTERM', () => process.exit(0)); process.send({ kind: 'running' }); setInterval(() => undefined, 1000);"
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)

const rule = suite('the process of a further organization')

rule('tells how it stands, and is told what it may have', async () => {
  await using made = await scene(
    `process.on('message', ({ share }) => process.send({ kind: 'ending', reason: String(share.granted.length) }));
     process.send({ kind: 'announce', code: 'C', link: 'https://l', fingerprint: 'F' });`,
  )
  await until(() => made.supervised.standing.state === 'waiting')
  assert.equal(made.supervised.standing, {
    ...{ state: 'waiting', link: 'https://l', code: 'C', fingerprint: 'F' },
  })
  made.supervised.tell({ kind: 'share', share: NO_SHARE })
  await until(() => made.heard.some(({ kind }) => kind === 'ending'))
})

rule('is started again however it ends, and says why', async () => {
  await using made = await scene(
    "process.send({ kind: 'ending', reason: 'no luck' }, () => process.exit(1))",
  )
  await until(async () => (await made.runs()) >= 3)
  assert.match(made.logged[0] ?? '', /error organization\.ended .*"no luck","againInMs":1000/)
})

rule('is not started again where it was never in', async () => {
  await using made = await scene(
    "process.send({ kind: 'ending', reason: 'refused' }, () => process.exit(1))",
    false,
  )
  await until(() => made.supervised.standing.state === 'failed')
  assert.equal(made.supervised.standing, { state: 'failed', reason: 'refused' })
  assert.is(await made.runs(), 1)
})

rule('is told apart from one that cannot be started at all', async () => {
  const missing = new Supervised({
    ...{ label: 'beta', isKept: () => false, onMessage: () => undefined, clock },
    stop: new AbortController().signal,
    launch: () => ({ command: ['/nowhere/node'], env: {} }),
    log: () => undefined,
  })
  await until(() => missing.standing.state === 'failed')
  assert.match(missing.standing.reason ?? '', /ENOENT/)
  await missing[Symbol.asyncDispose]()
})

rule('may say nothing that is no message: it is refused, and the rest is heard', async () => {
  await using made = await scene(
    `process.send({ kind: 'wants', wants: { claims: [{ kind: 'prefix', value: 'all' }] } });
     process.send({ kind: 'own', everything: true }); process.send('x'.repeat(1e6)); ${STAYS}`,
  )
  await until(() => made.supervised.standing.state === 'running')
  assert.is(made.logged.filter((line) => /message-refused/.test(line)).length, 3)
  assert.equal(made.heard, [{ kind: 'running' }])
})

rule('is waited for at a stop, and stays ended', async () => {
  const made = await scene(
    "process.on('SIGTERM', () => setTimeout(() => process.exit(0), 300)); process.send({ kind: 'running' }); setInterval(() => undefined, 1000);",
  )
  await until(() => made.supervised.standing.state === 'running')
  const pid = made.supervised.pid ?? 0
  await made[Symbol.asyncDispose]()
  assert.not.ok(isAlive(pid))
  assert.is(made.supervised.pid, undefined)
})

rule('is killed where it does not end at a stop, and started once more to clean up', async () => {
  await using made = await scene(
    "const isFirst = require('node:fs').readFileSync(RUNS, 'utf8') === 'x'; process.on('SIGTERM', () => { if (!isFirst) process.exit(0) }); process.send({ kind: 'running' }); setInterval(() => undefined, 1000);",
  )
  await until(() => made.supervised.standing.state === 'running')
  await made.supervised[Symbol.asyncDispose]()
  assert.is(await made.runs(), 2)
  assert.match(made.logged.join('\n'), /organization\.killed/)
})

rule('is not started again where all are told to stop, even if it heard of it first', async () => {
  const made = await scene(STAYS)
  await until(() => made.supervised.standing.state === 'running')
  const pid = made.supervised.pid ?? 0
  made.stop.abort()
  process.kill(pid, 'SIGTERM')
  await until(() => made.supervised.pid === undefined)
  await systemClock.sleep(300)
  assert.is(await made.runs(), 1)
  await made[Symbol.asyncDispose]()
})

rule('that waits to be started again is not, once all are told to stop', async () => {
  const slow: Clock = { ...systemClock, after: (_ms, task) => systemClock.after(300, task) }
  await using made = await scene('process.exit(3)', true, slow)
  await until(() => made.supervised.standing.state === 'restarting')
  made.stop.abort()
  await systemClock.sleep(600)
  assert.is(await made.runs(), 1)
})

const KILLED = "process.kill(process.pid, 'SIGKILL')"

rule('is not started to clean up where it never spoke, or was never in', async () => {
  const slow: Clock = { ...systemClock, after: (_ms, task) => systemClock.after(600_000, task) }
  for (const [program, isKept] of [
    [KILLED, true],
    [`process.send({ kind: 'hello' }, () => ${KILLED})`, false],
  ] as const) {
    await using made = await scene(program, isKept, slow)
    await until(() => made.supervised.pid === undefined)
    await made.supervised[Symbol.asyncDispose]()
    assert.is(await made.runs(), 1)
  }
})

rule('that was killed is started once more at a stop, for what it left on the host', async () => {
  const slow: Clock = { ...systemClock, after: (_ms, task) => systemClock.after(600_000, task) }
  await using made = await scene(STAYS, true, slow)
  await until(() => made.supervised.standing.state === 'running')
  process.kill(made.supervised.pid ?? 0, 'SIGKILL')
  await until(() => made.supervised.standing.state === 'restarting')
  assert.match(made.supervised.standing.reason ?? '', /SIGKILL/)
  await made.supervised[Symbol.asyncDispose]()
  assert.is(await made.runs(), 2)
})

rule.run()
