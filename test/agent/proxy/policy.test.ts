// time limit: 600 s
/** Security groups where there is no interface: what two real proxies carry by ingress, egress and SOCKS is denied by the
 *  policy, also what was open before, and passes again when a new version allows it. */
import { createSocket } from 'node:dgram'
import { chmod } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { POLICY_STATUS } from '../../../agent/control/policy-report.ts'
import { PING } from '../../../agent/control/reports.ts'
import { SOCKS_REPLY } from '../../../agent/proxy/socks-messages.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { withSession } from '../../support/api.ts'
import { startTestRegistry, temporaryDirectory } from '../../support/registry.ts'
import { type ProxyDaemon, startProxyDaemon } from './proxy-daemon.ts'
import { tcpBySocks, type UdpBySocks, udpBySocks } from './socks-client.ts'
import { askTcp, askUdp, freePort, startTcpService, startUdpService, until } from './two-proxies.ts'

const rule = suite('the proxy and the policy')

const registry = await startTestRegistry()
const browser = await registry.ada()
const [organization = ''] = await organizationsOf(browser)
const ada = withSession(browser)
const home = `/organizations/${organization}`
const folder = await temporaryDirectory()
await chmod(folder, 0o755)
const [web, dns] = [await startTcpService('web'), await startUdpService('dns')]
/** Bytes that came to the TCP service. */
let received = 0
web.server.on('connection', (socket: Socket) => {
  socket.on('data', ({ length }: Buffer) => {
    received += length
  })
})
const [tcp, udp] = [await freePort(), await freePort()]
const [other, socks] = [await freePort(), await freePort()]
let near: ProxyDaemon
let far: ProxyDaemon
/** Open from before the first policy to the end. */
let connection: Socket
let flow: UdpBySocks

async function start(name: string, ...proxy: readonly string[]): Promise<ProxyDaemon> {
  const made = await ada('POST', `${home}/registration-keys`, { description: name })
  const joining = ['--registry', `${registry.url}#${organization}`]
  return await startProxyDaemon({
    ...{ name, folder, proxy },
    ports: { wireguard: await freePort(), mesh: await freePort() },
    joining: [...joining, '--registration-key', String(made.json['key'])],
  })
}

async function told<T>(
  daemon: ProxyDaemon,
  shape: { parse(json: unknown): T },
  ...words: readonly string[]
): Promise<T> {
  return shape.parse(JSON.parse(await daemon.nexctl('--output', 'json', ...words)))
}

/** At first it may not know the other yet. */
async function untilPinged(from: ProxyDaemon, to: string): Promise<void> {
  const pinged = () => told(from, PING, 'peers', 'ping', to, '-c', '1').catch(() => undefined)
  while (!((await pinged())?.received ?? 0)) await sleep(200)
}

/** Resolves when both enforce it. */
async function save(text: string, revision: number): Promise<void> {
  const { status, json } = await ada('PUT', `${home}/policy`, { text, revision })
  assert.is(status, 200, JSON.stringify(json))
  for (;;) {
    const { devices } = await told(near, POLICY_STATUS, 'policy', 'status')
    const isDone = (each: (typeof devices)[number]): boolean =>
      each.state === 'enforced' && each.revision === revision + 1
    if (devices.length === 2 && devices.every(isDone)) return
    await sleep(200)
  }
}

async function assertAllPasses(): Promise<void> {
  const before = received
  connection.write('more')
  await until(() => received > before)
  assert.is(await askTcp(tcp, 'egress'), 'web:egress')
  assert.is(await askUdp(udp, 'egress'), 'dns:egress')
  assert.is(await tcpBySocks(socks, 'far', 8080, 'socks'), 'web:socks')
  assert.is(await flow.ask('flow'), 'dns:flow')
  await using fresh = await udpBySocks(socks, 'far', 53)
  assert.is(await fresh.ask('socks'), 'dns:socks')
}

/** The mesh is there all the while: echoes pass. */
async function assertNothingPasses(): Promise<void> {
  await untilPinged(near, 'far')
  const [bytes, datagrams] = [received, dns.asked.length]
  connection.write('denied')
  flow.send('denied')
  await using fresh = await udpBySocks(socks, 'far', 53)
  fresh.send('denied')
  const local = createSocket('udp4')
  local.send('denied', udp)
  const [egress, bySocks] = await Promise.all([
    askTcp(tcp, 'denied').catch((error: NodeJS.ErrnoException) => error.code),
    tcpBySocks(socks, 'far', 8080, 'denied'),
  ])
  assert.equal([egress, bySocks], ['ECONNRESET', SOCKS_REPLY.hostUnreachable])
  await untilPinged(near, 'far')
  await untilPinged(far, 'near')
  local.close()
  assert.equal([received, dns.asked.length], [bytes, datagrams])
}

rule.before(async () => {
  far = await start(
    'far',
    ...[
      '--ingress',
      `tcp:8080:127.0.0.1:${web.port}`,
      '--ingress',
      `tcp:8081:127.0.0.1:${web.port}`,
    ],
    ...['--ingress', `udp:53:127.0.0.1:${dns.port}`],
  )
  near = await start(
    'near',
    ...['--egress', `tcp:${tcp}:far:8080`, '--egress', `tcp:${other}:far:8081`],
    ...['--egress', `udp:${udp}:far:53`, '--socks5', `${socks}`],
  )
  await untilPinged(near, 'far')
  connection = connect({ port: tcp, host: '127.0.0.1' })
  flow = await udpBySocks(socks, 'far', 53)
})
rule.after(async () => {
  connection.destroy()
  for (const each of [flow, near, far, web, dns, registry]) await each[Symbol.asyncDispose]()
})

rule('passes all before there is one', async () => {
  await assertAllPasses()
  assert.is(await askTcp(other, 'other'), 'web:other')
})

rule('is enforced at the receiver: of TCP and UDP nothing comes to a service', async () => {
  const groups = '{"*": {inbound_rules: [{ip_protocol: icmp}]}}'
  await save(`{version: 1, security_groups: ${groups}}`, 0)
  await assertNothingPasses()
})

rule('lets pass what a new version allows, and what was open goes on; nothing else', async () => {
  const service = (protocol: string, port: number) =>
    `{ip_protocol: ${protocol}, from_port: ${port}, to_port: ${port}, devices: [near]}`
  const rules = `[{ip_protocol: icmp}, ${service('tcp', 8080)}, ${service('udp', 53)}]`
  await save(`{version: 1, security_groups: {"*": {inbound_rules: ${rules}}}}`, 1)
  await assertAllPasses()
  const code = await askTcp(other, 'x').catch((error: NodeJS.ErrnoException) => error.code)
  assert.is(code, 'ECONNRESET')
})

rule('is enforced at the sender, whatever the receiver would take', async () => {
  const groups = '{"*": {outbound_rules: [{ip_protocol: icmp}]}}'
  await save(`{version: 1, security_groups: ${groups}}`, 2)
  await assertNothingPasses()
})

rule('gives it all back', async () => {
  await save('{version: 1}', 3)
  await assertAllPasses()
  assert.is(await askTcp(other, 'other'), 'web:other')
})

rule.run()
