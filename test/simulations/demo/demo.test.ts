// time limit: 600 s
/** The demonstration as a newcomer runs it, without any privilege, where no user namespace can be made either; as root
 *  the test starts it as nobody. Whatever way it ends, nothing of it is left. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, readdir, readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loginByHttp, organizationsOf } from '../../../simulations/lab/login.ts'
import { type TempDir, tempDir } from '../../support/temp-dir.ts'
import { NOBODY, withoutUserNamespaces } from '../../support/unprivileged.ts'

const DEMO = new URL('../../../simulations/demo.ts', import.meta.url).pathname
const BARRED = withoutUserNamespaces()
const isRoot = process.getuid?.() === 0

/** In their order. */
const STEPS = [
  /the registry, which knows who belongs, runs at http:\/\/127\.0\.0\.1:\d+$/,
  /Ada, its first user, has set a password and signed in$/,
  /three devices run: server, laptop, phone; each asks Ada to let it in$/,
  /Ada has approved them; in the private network they are$/,
  /^ {14}server {2}100\.\d+\.\d+\.\d+$/,
  /^ {14}laptop {2}100\.\d+\.\d+\.\d+$/,
  /^ {14}phone {3}100\.\d+\.\d+\.\d+$/,
  /server publishes a web page to them: nexctl expose \d+ --as 80$/,
  /laptop has found the direct way to server: \S+:\d+$/,
  /laptop fetches http:\/\/server\/ in \d+ ms$/,
  /it says “Hello from the server”$/,
  /server is 100\.\d+\.\d+\.\d+; the path is direct$/,
  /[1-9]\d* encrypted packets went between them; none shows a word of the page$/,
  /the registry is killed$/,
  /laptop fetches it again, in \d+ ms$/,
  /phone fetches it for the first time, with no registry to ask, in \d+ ms$/,
  /laptop stops, starts with no registry, and fetches it in \d+ ms$/,
]
const ENDED = /^ ✓ .* every process has ended, and every file is removed$/

interface Demo {
  readonly child: ChildProcess
  readonly folder: TempDir
  readonly lines: string[]
  /** The line. */
  said(pattern: RegExp): Promise<string>
  /** The status, or the signal. */
  ended(): Promise<number | NodeJS.Signals | null>
}

const started: ChildProcess[] = []

interface Found {
  readonly pid: number
  readonly command: string
}

/** @param starter a shell in which the demonstration is one command */
async function start(words: readonly string[], starter = false): Promise<Demo> {
  const folder = await tempDir()
  if (isRoot) await chown(folder.path, NOBODY, NOBODY)
  const demo = [process.execPath, DEMO, ...words]
  const command = starter ? ['sh', '-c', `${demo.join(' ')}; true`] : demo
  const [program = '', ...args] = [...BARRED, ...command]
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { HOME: '/nonexistent', TMPDIR: folder.path, PATH: process.env['PATH'] ?? '' },
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  const closed = once(child, 'close')
  started.push(child)
  return {
    child,
    folder,
    lines,
    said: async (pattern) => {
      for (;;) {
        const line = lines.find((each) => pattern.test(each))
        if (line !== undefined) return line
        if (child.exitCode !== null) throw new Error(`it ended:\n${lines.join('\n')}`)
        await sleep(50)
      }
    },
    ended: async () => {
      await closed
      return child.exitCode ?? child.signalCode
    },
  }
}

/** All that was started for it: they have its temporary directory in their environment. */
async function processesOf({ folder }: Demo): Promise<readonly Found[]> {
  const found: Found[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const [environment, command] = await Promise.all(
      ['environ', 'cmdline'].map((file) => readFile(`/proc/${name}/${file}`, 'utf8').catch(gone)),
    )
    if (environment?.includes(`TMPDIR=${folder.path}\0`)) {
      found.push({ pid: Number(name), command: command?.replaceAll('\0', ' ') ?? '' })
    }
  }
  return found
}

/** A process that has ended, or is another user's. */
function gone(error: NodeJS.ErrnoException): string {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return ''
  throw error
}

/** Waits until neither a process nor a file is left, then removes the place. */
async function untilNothingIsLeft(demo: Demo): Promise<void> {
  while ((await processesOf(demo)).length > 0) await sleep(100)
  assert.equal(await readdir(demo.folder.path), [])
  await demo.folder[Symbol.asyncDispose]()
}

function assertInOrder(lines: readonly string[], patterns: readonly RegExp[]): void {
  let at = 0
  for (const pattern of patterns) {
    const found = lines.findIndex((line, index) => index >= at && pattern.test(line))
    if (found === -1) assert.unreachable(`no ${pattern} after line ${at} of\n${lines.join('\n')}`)
    at = found + 1
  }
}

const rule = suite('npm run demo')

rule.after(() => {
  for (const child of started) child.kill('SIGKILL')
})

rule('shows each step, without a privilege, and leaves nothing', async () => {
  const demo = await start([])
  await demo.said(/three devices run/)
  for (const { pid } of isRoot ? await processesOf(demo) : []) {
    const rights = await readFile(`/proc/${pid}/status`, 'utf8')
    assert.match(rights, /^Uid:\t65534\t65534\t/m)
    assert.match(rights, /^CapEff:\t0+$/m)
  }
  assert.is(await demo.ended(), 0, demo.lines.join('\n'))
  assertInOrder(demo.lines, [...STEPS, ENDED, /npm run demo -- --stay/])
  assert.equal(
    demo.lines.filter((line) => line.includes('\x1b') || line.includes('✗')),
    [],
  )
  assert.equal(await processesOf(demo), [])
  await untilNothingIsLeft(demo)
})

rule('stays up with --stay until Ctrl-C, the registry back again', async () => {
  const demo = await start(['--stay'])
  await demo.said(/Everything stays up until Ctrl-C/)
  const page = await fetch((await demo.said(/^ {2}http:.*\/$/)).trim())
  assert.match(await page.text(), /<h1>Hello from the server<\/h1>/)
  const account = /sign in as (\S+), password (\S+)$/.exec(await demo.said(/sign in as/))
  const registry = /http:\S+/.exec(await demo.said(/the registry, which knows/))
  const [, email = '', password = ''] = account ?? []
  const ada = await loginByHttp(registry?.[0] ?? '', { email, password })
  assert.is((await organizationsOf(ada)).length, 1)
  assert.ok((await processesOf(demo)).length >= 7)
  demo.child.kill('SIGINT')
  assert.is(await demo.ended(), 0, demo.lines.join('\n'))
  assertInOrder(demo.lines, [
    ...STEPS,
    /the registry is started again/,
    /Everything stays up/,
    ENDED,
  ])
  assert.equal(await processesOf(demo), [])
  await untilNothingIsLeft(demo)
})

rule('tells the step that failed, and the last lines of the process at fault', async () => {
  const demo = await start([])
  await demo.said(/the registry, which knows/)
  const registry = (await processesOf(demo)).find(({ command }) =>
    /registry\/main\.ts/.test(command),
  )
  process.kill(registry?.pid ?? 0, 'SIGKILL')
  assert.is(await demo.ended(), 1)
  const failed = /^demo failed \(.*\): registry ended \(SIGKILL\)$/
  assertInOrder(demo.lines, [
    STEPS[0] ?? /^/,
    failed,
    /^The last lines of registry:$/,
    /^ {2}.*setup/,
  ])
  assertInOrder(demo.lines, [/^ ✗ /, ENDED])
  await untilNothingIsLeft(demo)
})

rule('ends everything when a signal stops it', async () => {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const demo = await start([])
    await demo.said(/three devices run/)
    demo.child.kill(signal)
    assert.is(await demo.ended(), status)
    assertInOrder(demo.lines, [new RegExp(`The demo is stopped by ${signal}`), ENDED])
    assert.equal(await processesOf(demo), [])
    await untilNothingIsLeft(demo)
  }
})

rule('leaves nothing when it is killed, or what started it', async () => {
  for (const hasStarter of [false, true]) {
    const demo = await start([], hasStarter)
    await demo.said(/three devices run/)
    demo.child.kill('SIGKILL')
    await untilNothingIsLeft(demo)
  }
})

rule('leaves nothing when nobody reads it any more', async () => {
  const demo = await start([])
  await demo.said(/the registry, which knows/)
  demo.child.stdout?.destroy()
  assert.is(await demo.ended(), 141)
  await untilNothingIsLeft(demo)
})

rule('refuses an option that it does not know, and starts nothing', async () => {
  const demo = await start(['--stays'])
  assert.is(await demo.ended(), 1)
  assert.match(demo.lines.join('\n'), /unknown option '--stays'/)
  await untilNothingIsLeft(demo)
})

rule.run()
