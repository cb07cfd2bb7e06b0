// time limit: 120 s
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startCapture } from '../../../simulations/lab/capture.ts'
import { classifyKinds, startClassifier } from '../../../simulations/lab/kinds.ts'
import { createLab } from '../../../simulations/lab/lab.ts'
import { removeStale } from '../../../simulations/lab/ownership.ts'
import { ping } from '../../../simulations/lab/ping.ts'
import { needs } from '../../support/needs.ts'

needs(
  ...(['root', 'netns', 'nft', 'iptables', 'python3', 'ping', 'conntrack', 'tcpdump'] as const),
  'wireguard-go',
)

const rule = suite('the NAT laboratory')
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
    'v6dual IPv6': [independent, port, true],
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

rule('gives a site another public address and back, and a host another private one', async () => {
  using lab = await createLab({ sites: [{ kind: 'port' }, { kind: 'public' }] })
  const [host, { classify }] = [lab.host(1), await startClassifier(lab)]
  assert.match((await classify(host)).mapped, /^198\.18\.1\.2 /)
  await lab.renumber(1)
  assert.match((await classify(host)).mapped, /^198\.18\.1\.3 /)
  await lab.renumber(1)
  assert.match((await classify(host)).mapped, /^198\.18\.1\.2 /)
  await lab.moveHost(host)
  assert.match(await host.namespace.exec('ip', '-4', 'addr', 'show', 'eth0'), /192\.168\.1\.110/)
  assert.is((await classify(host)).isReachable, true)
})

rule('has a NAT box forget its mappings', async () => {
  using lab = await createLab({ sites: [{ kind: 'cgnat' }, { kind: 'full' }, { kind: 'public' }] })
  const { classify } = await startClassifier(lab)
  for (const site of [1, 2]) {
    await classify(lab.host(site))
    const mappings = (): Promise<string> => lab.router(site).exec('conntrack', '-L', '-p', 'udp')
    assert.match(await mappings(), /dport=3478/)
    await lab.flush(site)
    assert.not.match(await mappings(), /dport=3478/)
  }
  assert.not.match(await lab.router(2).exec('nft', 'list', 'map', 'ip', 'nat', 'm'), /elements/)
})

rule('cuts and mends links and cables, for IPv4 and IPv6', async () => {
  using lab = await createLab({ sites: [{ kind: 'v6dual', hosts: 2 }, { kind: 'public' }] })
  const [host, neighbour, far] = [lab.host(1), lab.host(1, 1), lab.host(2)]
  const answered = async (from = host): Promise<number> => {
    const pings = ['198.18.2.2', '2001:db8:2::2'].map((address) =>
      ping(from.namespace, address, { count: 2, waitMs: 300 }),
    )
    return (await Promise.all(pings)).filter(({ received }) => received === 2).length
  }
  assert.is(await answered(), 2)
  for (const [cut, others] of [
    [(up: boolean) => lab.link(up, 1), 0],
    [(up: boolean) => lab.cable(up, host), 2],
    [(up: boolean) => lab.cable(up, far), 0],
  ] as const) {
    await cut(false)
    assert.is(await answered(), 0)
    assert.is(await answered(neighbour), others)
    await cut(true)
    // Neighbours that did not answer are asked again after a second.
    for (let tries = 0; tries < 10 && (await answered()) < 2; tries += 1) await sleep(200)
    assert.is(await answered(), 2)
  }
})

rule('counts a silence that lasts to the end, or from the start', async () => {
  using lab = await createLab({ sites: [{ kind: 'public' }, { kind: 'public' }] })
  const [from, address] = [lab.host(1).namespace, lab.host(2).address]
  const options = { count: 60, intervalMs: 20, waitMs: 300 }
  const dying = ping(from, address, options)
  await sleep(400)
  await lab.link(false, 2)
  const { received, longestSilenceMs } = await dying
  assert.ok(received > 0 && longestSilenceMs >= (59 - received) * 20, `${longestSilenceMs} ms`)
  assert.is((await ping(from, address, options)).longestSilenceMs, 60 * 20)
})

rule('gives every site the same private network where that is wanted', async () => {
  using lab = await createLab({
    sites: [{ kind: 'port' }, { kind: 'port' }, { kind: 'public' }],
    overlap: true,
  })
  for (const site of [1, 2]) {
    assert.is(lab.host(site).address, '192.168.1.10')
    const { received } = await ping(lab.host(site).namespace, '198.18.3.2', { count: 2 })
    assert.is(received, 2)
  }
  await lab.moveHost(lab.host(2))
  assert.match(await lab.host(2).namespace.exec('ip', 'addr', 'show', 'eth0'), /192\.168\.1\.110/)
})

rule('captures IPv4 and IPv6 with their ends', async () => {
  using lab = await createLab({ sites: [{ kind: 'v6dual' }, { kind: 'public' }] })
  const { classify } = await startClassifier(lab)
  const capture = await startCapture(lab.router(1), 'wan', 'udp port 3478', lab.folder)
  await classify(lab.host(1), 4)
  await classify(lab.host(1), 6)
  const packets = await capture.stop()
  for (const end of ['198.18.1.1:3478', '[2001:db8:1::1]:3478']) {
    const there = packets.filter(({ destination }) => destination === end)
    assert.ok(
      there.length > 0,
      `${end}: ${packets.map(({ destination }) => destination).join(' ')}`,
    )
    for (const { kind, length } of there) assert.ok(kind === 'other-udp' && length > 40)
  }
})

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
