// time limit: 240 s
/** The proxy as the operator meets it: nexctl, asked as a program, and the options of nexd. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Controls } from '../../../agent/control/reports.ts'
import { startControlServer } from '../../../agent/control/server.ts'
import {
  addProxyOptions,
  type ListenAt,
  type ProxyOptionValues,
  parseListenAt,
} from '../../../agent/proxy/proxy-options.ts'
import { formatProxyRule } from '../../../agent/proxy/proxy-rule.ts'
import { startProxyService } from '../../../agent/proxy/proxy-service.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import {
  askTcp,
  freePort,
  rulesOf,
  startTcpService,
  startTwoProxies,
  type TwoProxies,
} from './two-proxies.ts'

const rule = suite('the proxy, as it is told')
const NEXCTL = fileURLToPath(new URL('../../../agent/nexctl.ts', import.meta.url))

const none = () => Promise.reject(new Error('not asked'))
const others: Omit<Controls, 'proxy'> = {
  netcheck: none,
  measureLifetime: () => ({ started: [] }),
  status: none,
  peers: none,
  ping: none,
  why: none,
  policy: {
    policy: () => ({ revision: 0, rules: 0, text: '' }),
    policyStatus: () => ({ revision: 0, devices: [] }),
    ask: (question) => ({ question, answers: [] }),
    check: () => ({ rules: 0, tests: [] }),
  },
}

interface Told {
  readonly code: number | null
  readonly out: string
  readonly error: string
}

async function nexctl(socket: string, ...words: readonly string[]): Promise<Told> {
  const child = spawn(process.execPath, [NEXCTL, '--socket', socket, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, error] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    error += text
  })
  const [code] = await once(child, 'close')
  return { code, out, error }
}

/** A proxy on the far side, with its local API. */
async function startFar(two: TwoProxies, options: ProxyOptionValues = {}) {
  await using started = new AsyncDisposableStack()
  const service = started.use(
    await startProxyService({
      ...two.far,
      clock: systemClock,
      log: () => {},
      stateDir: two.folder,
      options,
    }),
  )
  const socket = join(two.folder, 'nexd.sock')
  started.use(await startControlServer(socket, { ...others, proxy: service.controls }, () => {}))
  const all = started.move()
  return { socket, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

rule('publishes a local port with one command, and shows where it is reached', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using two = await startTwoProxies({ near: { egress: [`tcp:${port}:far:8080`] } })
  await using far = await startFar(two)
  for (let time = 0; time < 2; time += 1) {
    const told = await nexctl(far.socket, 'expose', String(web.port), '--as', '8080')
    assert.is(told.error, '')
    assert.is(
      told.out,
      `port ${web.port} of this host is reached at\n  ${FAR[4]}:8080\n  [${FAR[6]}]:8080\n`,
    )
  }
  assert.is(await askTcp(port, 'x'), 'web:x')
})

rule('adds, lists and removes rules, and lives on after malformed ones', async () => {
  await using two = await startTwoProxies()
  await using far = await startFar(two, { ingress: rulesOf({ ingress: ['tcp:81:web:80'] }) })
  const proxy = (...words: readonly string[]) => nexctl(far.socket, 'nexd', 'proxy', ...words)
  assert.is((await proxy('list')).out, '--ingress tcp:81:web:80  (an option of nexd)\n')
  for (const [bad, says] of [
    ['tcp:0:web:80', /nexctl: malformed ingress rule "tcp:0:web:80": port "0", want 1 to 65535/],
    ['tcp:81:web:80', /nexctl: malformed ingress rule "tcp:81:web:80": it is there already/],
  ] as const) {
    const refused = await proxy('add', '--ingress', 'tcp:82:web:80', bad)
    assert.is(refused.code, 1)
    assert.match(refused.error, says)
  }
  assert.match((await proxy('add')).error, /want at least one rule/)
  assert.match((await proxy('remove', '--egress', 'udp:1:far:1')).error, /there is no such rule/)
  const added = await proxy('add', '--ingress', 'tcp:82:web:80', '--egress', 'udp:5353:far:53')
  assert.is(added.code, 0)
  assert.equal(added.out.split('\n').slice(0, 3), [
    '--ingress tcp:81:web:80   (an option of nexd)',
    '--ingress tcp:82:web:80',
    '--egress udp:5353:far:53',
  ])
  await proxy('remove', '--ingress', 'tcp:81:web:80', 'tcp:82:web:80')
  assert.is((await proxy('list')).out, '--egress udp:5353:far:53\n')
  await proxy('remove', '--egress', 'udp:5353:far:53')
  assert.is((await proxy('list')).out, 'no rules\n')
  const json = await nexctl(far.socket, '--output', 'json', 'nexd', 'proxy', 'list')
  assert.equal(JSON.parse(json.out), { addresses: [FAR[4], FAR[6]], rules: [] })
})

rule('says so where there is no proxy', async () => {
  await using two = await startTwoProxies()
  const socket = join(two.folder, 'plain.sock')
  await using _server = await startControlServer(socket, others, () => {})
  const told = await nexctl(socket, 'expose', '8080')
  assert.is(told.code, 1)
  assert.match(told.error, /runs without a proxy \(start it with nexd proxy\)/)
  assert.match((await nexctl(socket, 'expose', '0')).error, /want 1 to 65535/)
})

rule('warns of a listener that others than this host may use', async () => {
  await using two = await startTwoProxies()
  for (const [at, isOpen] of [
    ['127.0.0.1', false],
    ['127.0.0.9', false],
    ['::1', false],
    ['0.0.0.0', true],
  ] as const) {
    const told: string[] = []
    await using _service = await startProxyService({
      ...two.far,
      clock: systemClock,
      log: (_level, event) => void told.push(event),
      stateDir: two.folder,
      options: {
        socks5: parseListenAt(`${at.includes(':') ? `[${at}]` : at}:${await freePort()}`),
      },
    })
    assert.is(told.includes('proxy.open-listener'), isOpen)
  }
})

function optionsOf(...words: readonly string[]): ProxyOptionValues {
  const command = addProxyOptions(new Command('proxy'))
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
  command.parse([...words], { from: 'user' })
  return command.opts()
}

rule('reads options, several of each', () => {
  const {
    ingress = [],
    egress = [],
    egressBind,
    socks5,
    httpProxy,
  } = optionsOf(
    ...['--ingress', 'tcp:80:web:80', '--ingress', 'udp:53:dns:53 tcp:81:web:81'],
    ...['--egress', 'tcp:5432:far:5432', '--egress-bind', '0.0.0.0', '--egress-bind', '::'],
    ...['--socks5', '1080', '--http-proxy', '[::1]:3128'],
  )
  assert.equal(ingress.map(formatProxyRule), ['tcp:80:web:80', 'udp:53:dns:53', 'tcp:81:web:81'])
  assert.equal(egress.map(formatProxyRule), ['tcp:5432:far:5432'])
  assert.equal(egressBind, ['0.0.0.0', '::'])
  assert.equal(socks5, { address: '127.0.0.1', port: 1080 })
  assert.equal(httpProxy, { address: '::1', port: 3128 })
  assert.equal(optionsOf(), {})
})

for (const words of [
  ['--ingress', 'tcp:0:web:80'],
  ['--ingress', ''],
  ['--egress', 'sctp:80:web:80'],
  ['--egress-bind', 'localhost'],
  ['--socks5', '0'],
  ['--socks5', '127.0.0.1'],
  ['--http-proxy', 'localhost:3128'],
  ['--http-proxy', '::1:3128'],
])
  rule(`refuses the option ${words.join(' ')}`, () => {
    assert.throws(() => optionsOf(...words), /(malformed|argument)/)
  })

rule('knows where a listener is', () => {
  const told: ListenAt = parseListenAt('10.0.0.1:80')
  assert.equal(told, { address: '10.0.0.1', port: 80 })
})

rule.run()
