// time limit: 120 s
import { spawn } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { classifyKinds } from '../../../simulations/lab/kinds.ts'
import { createLab, removeStale } from '../../../simulations/lab/lab.ts'
import { run } from '../../../simulations/lab/namespace.ts'
import { ping } from '../../../simulations/lab/ping.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'iptables', 'python3', 'ping', 'conntrack')

const rule = suite('the NAT laboratory')
const MAIN = new URL('../../../simulations/lab/main.ts', import.meta.url).pathname
const namespaces = async (prefix: string): Promise<number> =>
  (await run('ip', ['netns', 'list'])).split('\n').filter((line) => line.startsWith(prefix)).length

rule('makes each kind of NAT as RFC 4787 describes it', async () => {
  const found = await classifyKinds()
  const [none, independent, address, port] = [
    'none',
    'endpoint-independent',
    'address-dependent',
    'address-and-port-dependent',
  ] as const
  const expected = {
    public: [independent, independent, true],
    fw: [independent, port, true],
    full: [independent, independent, true],
    addr: [independent, address, true],
    port: [independent, port, true],
    'port-np': [independent, port, false],
    symm: [port, port, false],
    cgnat: [independent, port, true],
    udpblock: [none, none, false],
    v6dual: [independent, port, true],
  } as const
  for (const [kind, [mapping, filtering, isPortKept]] of Object.entries(expected)) {
    const {
      mapping: m,
      filtering: f,
      isPortKept: k,
    } = found.get(kind as keyof typeof expected) ?? {}
    assert.equal([kind, m, f, k], [kind, mapping, filtering, isPortKept])
  }
})

rule('delays and loses packets as it is told', async () => {
  using lab = await createLab({
    sites: [
      { kind: 'public', delayMs: 15 },
      { kind: 'public', lossPercent: 30 },
    ],
  })
  const slow = await ping(lab.host(1).namespace, '198.18.1.1', { count: 10, intervalMs: 50 })
  // One link, there and back; a busy machine may add, never take away.
  assert.ok(
    Math.min(...slow.timesMs) >= 29.5 && Math.min(...slow.timesMs) < 60,
    slow.timesMs.join(' '),
  )
  const lossy = await ping(lab.host(2).namespace, '198.18.2.1', {
    count: 100,
    intervalMs: 5,
    waitMs: 300,
  })
  assert.ok(lossy.received > 20 && lossy.received < 80, `${lossy.received} of 100 came back`)
})

rule('renumbers, flushes and moves what it is told to', async () => {
  using lab = await createLab({ sites: [{ kind: 'port' }, { kind: 'public' }] })
  await lab.renumber(1)
  assert.match(await lab.router(1).exec('ip', '-4', 'addr', 'show', 'wan'), /198\.18\.1\.3/)
  await lab.moveHost(lab.host(1))
  assert.match(
    await lab.host(1).namespace.exec('ip', '-4', 'addr', 'show', 'eth0'),
    /192\.168\.1\.110/,
  )
  const { received } = await ping(lab.host(1).namespace, '198.18.2.2', { count: 2 })
  assert.is(received, 2)
})

rule('leaves nothing when it is disposed of', async () => {
  const lab = await createLab({ sites: [{ kind: 'cgnat' }, { kind: 'public' }] })
  assert.ok((await namespaces(lab.prefix)) >= 5)
  lab.host(1).namespace.spawn('/dev/null', 'sleep', ['60'])
  lab[Symbol.dispose]()
  assert.is(await namespaces(lab.prefix), 0)
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
    assert.ok((await namespaces(prefix)) > 0)
    await end(signal)
    assert.is(await namespaces(prefix), 0)
  }
})

rule(
  'removes, at the next start, what a killed one left, and nothing of a living one',
  async () => {
    const [killed, living] = [await startApart(), await startApart()]
    await killed.end('SIGKILL')
    assert.ok((await namespaces(killed.prefix)) > 0)
    removeStale()
    assert.is(await namespaces(killed.prefix), 0)
    assert.ok((await namespaces(living.prefix)) > 0)
    await living.end('SIGINT')
  },
)

rule.run()
