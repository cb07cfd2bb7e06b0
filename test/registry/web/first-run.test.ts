// time limit: 600 s
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Page } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../registry/system-clock.ts'
import { launchChromium, SLOW_MS } from '../../support/chromium.ts'
import { needs } from '../../support/needs.ts'
import {
  quietOptions,
  type RegistryProcess,
  runRegistry,
  startedAt,
  stopped,
} from '../../support/registry-process.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { NOBODY, UNPRIVILEGED } from '../../support/unprivileged.ts'

needs('chromium')

/** Clicks and typed fields from the printed link to a device that is online. */
const MOST_ACTS = 8
/** At the page until the device is online there, a second apart. */
const LOOKS = 120
/** Below the ports that the system gives to others. */
const LISTEN_PORT = 20_000 + 2 * (process.pid % 5_000)
const ROOT = new URL('../../../', import.meta.url).pathname

const rule = suite('first run')
const browser = await launchChromium()
rule.after(() => browser.close())

interface Running {
  /** The part of its output that the pattern marks, once it is there. */
  said(pattern: RegExp): Promise<string>
  stop(): Promise<void>
}

/** A person at the page: each click and each field that they fill counts. */
class Person {
  acts = 0
  readonly page: Page

  constructor(page: Page) {
    this.page = page
  }

  async type(label: string, text: string): Promise<void> {
    this.acts += 1
    await this.page.getByLabel(label).fill(text)
  }

  async click(role: 'button' | 'link', name: string | RegExp): Promise<void> {
    this.acts += 1
    await this.page.getByRole(role, { name }).first().click()
  }
}

/** What `npm run NAME -- …` comes to in a clone whose packages are installed. */
async function inClone(shown: string): Promise<string> {
  const [, name = '', words = ''] = /^npm run (\S+) -- (.+)$/.exec(shown) ?? []
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const script = String(scripts[name]).replace('npm run --silent setup && ', '')
  return `exec ${script} ${words}`
}

/** Runs what the page shows, as who has no privilege; files and ports are the test's. */
async function runShown(shown: string, folder: string): Promise<Running> {
  const own = [
    ...['--backend', 'userspace', '--name', 'laptop', '--state-dir', folder],
    ...['--socket', join(folder, 'nexd.sock'), '--listen-port', `${LISTEN_PORT}`],
    ...['--mesh-listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--no-port-mapping', '--no-names'],
  ]
  const command = `${await inClone(shown)} ${own.join(' ')}`
  const [program = 'sh', ...words] = [...UNPRIVILEGED, 'sh', '-c', command]
  const env = { PATH: `${dirname(process.execPath)}:${process.env['PATH']}`, HOME: folder }
  const child = spawn(program, words, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
  process.once('exit', () => child.kill('SIGKILL'))
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output.text += chunk
    })
  }
  return {
    said: async (pattern) => {
      for (;;) {
        const found = pattern.exec(output.text)?.[1]
        if (found !== undefined) return found
        if (child.exitCode !== null) throw new Error(`it ended: ${output.text}`)
        await systemClock.sleep(50)
      }
    },
    stop: async () => {
      if (child.exitCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

rule('takes a new user by clicks alone from the printed link to a device online', async () => {
  await using folder = await tempDir()
  const home = join(folder.path, 'nexd')
  await mkdir(home)
  await chmod(folder.path, 0o711)
  if (process.getuid?.() === 0) await chown(home, NOBODY, NOBODY)
  const from = performance.now()
  const registry = runRegistry(quietOptions(join(folder.path, 'state')))
  await startedAt(registry)
  const context = await browser.newContext()
  context.setDefaultTimeout(SLOW_MS)
  const person = new Person(await context.newPage())
  await signUp(person, await linkPrinted(registry))

  const command = await person.page.getByText('npm run').first().textContent()
  const nexd = await runShown(command ?? '', home)
  await person.page.goto(await nexd.said(/open: (\S+)\n/))
  await person.click('button', 'Approve')
  await person.click('link', 'See its devices')
  await nexd.said(/(daemon\.started)/)
  const online = person.page.getByRole('row', { name: 'laptop' }).getByText('online')
  for (let looks = 0; (await online.count()) === 0; looks += 1) {
    assert.ok(looks < LOOKS, 'the device is not online on the page')
    await systemClock.sleep(1000)
    await person.page.reload()
  }
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  process.stdout.write(`first run: ${person.acts} clicks and fields, ${seconds} s\n`)
  assert.ok(person.acts <= MOST_ACTS, `${person.acts} clicks and fields`)

  await nexd.stop()
  await context.close()
  assert.is(await stopped(registry), 0)
})

async function linkPrinted({ stdout }: RegistryProcess): Promise<string> {
  for (;;) {
    const link = /Set up the first user[^\n]*: (\S+)\n/.exec(stdout())?.[1]
    if (link !== undefined) return link
    await systemClock.sleep(20)
  }
}

async function signUp(person: Person, link: string): Promise<void> {
  await person.page.goto(link)
  await person.type('E-mail', 'ada@example.org')
  await person.type('Password', 'difference engine')
  await person.click('button', 'Set up')
  await person.page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await person.type('E-mail', 'ada@example.org')
  await person.type('Password', 'difference engine')
  await person.click('button', 'Sign in')
  await person.page.getByRole('heading', { name: 'Your organizations' }).waitFor()
}

rule.run()
