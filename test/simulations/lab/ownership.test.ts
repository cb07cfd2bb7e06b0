import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLab } from '../../../simulations/lab/lab.ts'
import { removeStale } from '../../../simulations/lab/ownership.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'iptables', 'python3', 'wireguard-go')

const rule = suite('what a laboratory leaves')
const MAIN = new URL('../../../simulations/lab/main.ts', import.meta.url).pathname
const RECORDS = '/run/nexodus-lab'

/** The laboratories there are, whoever's. One may end while it is read. */
function records(): readonly { pid: number; prefix: string }[] {
  const files = existsSync(RECORDS) ? readdirSync(RECORDS) : []
  return files.flatMap((file) => {
    try {
      const { pid } = JSON.parse(readFileSync(`${RECORDS}/${file}`, 'utf8')) as { pid: number }
      return [{ pid, prefix: file.slice(0, 6) }]
    } catch (error) {
      if (error instanceof SyntaxError || (error instanceof Error && 'code' in error)) return []
      throw error
    }
  })
}

/** What there is of a laboratory: namespaces, WireGuard's sockets, folder, record. */
function remains(prefix: string): readonly string[] {
  const inside = (folder: string): readonly string[] =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(prefix)) : []
  return ['/run/netns', '/run/wireguard', tmpdir(), RECORDS].flatMap((folder) => inside(folder))
}

rule('leaves nothing when it is disposed of: sockets, folder and processes included', async () => {
  const lab = await createLab({
    sites: [{ kind: 'cgnat', delayMs: 1 }, { kind: 'public' }],
  })
  const device = `${lab.prefix}t`
  const { namespace } = lab.host(1)
  const tunnel = namespace.spawn('/dev/null', 'wireguard-go', ['-f', device])
  while (!existsSync(`/run/wireguard/${device}.sock`)) await sleep(20)
  assert.is(remains(lab.prefix).length, 5 + 3)
  lab[Symbol.dispose]()
  assert.equal(remains(lab.prefix), [])
  assert.is.not(await tunnel.ended, 0)
})

/** Starts a laboratory in a process of its own; its prefix once it is up. */
async function startApart(): Promise<{
  prefix: string
  end(signal: NodeJS.Signals): Promise<void>
}> {
  const child = spawn(process.execPath, [MAIN, 'up', 'port', 'public'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  const prefix = await new Promise<string>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      const found = /netns exec (nx[0-9a-f]{4})-/.exec(output)?.[1]
      if (found !== undefined && output.includes('Ctrl-C')) resolve(found)
    })
  })
  const closed = new Promise((resolve) => child.once('close', resolve))
  return {
    prefix,
    end: async (signal) => {
      child.kill(signal)
      await closed
    },
  }
}

rule('leaves nothing when it is interrupted', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { prefix, end } = await startApart()
    assert.ok(remains(prefix).length > 0)
    await end(signal)
    assert.equal(remains(prefix), [])
  }
})

rule('leaves nothing when it is interrupted while it is being built', async () => {
  for (const waitMs of [0, 30, 70, 120]) {
    const child = spawn(process.execPath, [MAIN, 'up', 'port', 'cgnat', 'public'])
    let prefix: string | undefined
    while (prefix === undefined) {
      await sleep(1)
      prefix = records().find(({ pid }) => pid === child.pid)?.prefix
    }
    await sleep(waitMs)
    child.kill('SIGINT')
    await new Promise((resolve) => child.once('close', resolve))
    // What was under way may still end.
    await sleep(200)
    assert.equal(remains(prefix), [], `after ${waitMs} ms`)
  }
})

rule('leaves nothing when it cannot be built', async () => {
  const before = remains('nx')
  let refusal = ''
  try {
    await createLab({ sites: [{ kind: 'public' }, { kind: 'cgnat', hosts: 9 }] })
  } catch (error) {
    refusal = error instanceof Error ? error.message : ''
  }
  assert.is(refusal, 'site 2: 9 hosts, 8 at most')
  const others = records().filter(({ pid }) => pid !== process.pid)
  const mine = remains('nx').filter(
    (name) => !before.includes(name) && !others.some(({ prefix }) => name.startsWith(prefix)),
  )
  assert.equal(mine, [])
})

rule(
  'removes, at the next start, what a killed one left, and nothing of a living one',
  async () => {
    const [killed, living] = [await startApart(), await startApart()]
    await killed.end('SIGKILL')
    assert.ok(remains(killed.prefix).length > 0)
    removeStale()
    assert.equal(remains(killed.prefix), [])
    assert.ok(remains(living.prefix).length > 0)
    await living.end('SIGINT')
  },
)

rule('knows a process that has the id of a dead one', () => {
  const folder = `${tmpdir()}/nx-0000-reused`
  mkdirSync(folder, { recursive: true })
  const record = { pid: process.pid, startedAt: '1', folder }
  writeFileSync(`${RECORDS}/nx-0000.json`, JSON.stringify(record))
  removeStale()
  assert.not.ok(existsSync(folder))
  assert.not.ok(existsSync(`${RECORDS}/nx-0000.json`))
})

rule.run()
