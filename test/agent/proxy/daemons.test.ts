// time limit: 300 s
/** Two real proxies without any privilege, where no user namespace can be made
 *  either: services published and reached through the encrypted mesh, the registry dead. */
import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { PING } from '../../../agent/control/reports.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { startTestRegistry, temporaryDirectory } from '../../support/registry.ts'
import { type ProxyDaemon, type ProxyDaemonOptions, startProxyDaemon } from './proxy-daemon.ts'
import { askTcp, askUdp, freePort, startTcpService, startUdpService } from './two-proxies.ts'

const rule = suite('nexd proxy')
const registry = await startTestRegistry()
const ada = await registry.ada()
const folder = await temporaryDirectory()
await chmod(folder, 0o755)

async function joining(): Promise<readonly string[]> {
  const [organization = ''] = await organizationsOf(ada)
  const made = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ description: 'test' }),
  })
  const { key } = z.object({ key: z.string() }).parse(await made.json())
  return ['--registry', `${registry.url}#${organization}`, '--registration-key', key]
}

async function untilPinged(daemon: ProxyDaemon, name: string): Promise<void> {
  for (;;) {
    const told = await daemon.nexctl('--output', 'json', 'peers', 'ping', name, '--count', '1')
    if (PING.parse(JSON.parse(told)).received > 0) return
    await sleep(200)
  }
}

async function addRecords(records: readonly object[]): Promise<void> {
  const [organization = ''] = await organizationsOf(ada)
  const answer = await ada.fetch(`/v1/organizations/${organization}/names`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ records }),
  })
  assert.is(answer.status, 200)
}

async function untilNamed(daemon: ProxyDaemon, name: string): Promise<void> {
  while (!(await daemon.nexctl('names')).includes(name)) await sleep(200)
}

/** What comes by SOCKS from a device, by name. */
async function askBySocks(socks: number, name: string, port: number, text: string) {
  const { socket, code } = await askedBySocks(socks, name, port)
  assert.is(code, 0)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end(text)
  await once(socket, 'end')
  return String(Buffer.concat(chunks))
}

async function askedBySocks(socks: number, name: string, port: number) {
  const socket = connect({ port: socks, host: '127.0.0.1', allowHalfOpen: true })
  socket.write(Uint8Array.of(5, 1, 0))
  await once(socket, 'data')
  const host = Buffer.from(name)
  const request = [
    Uint8Array.of(5, 1, 0, 3, host.length),
    host,
    Uint8Array.of(port >> 8, port & 255),
  ]
  socket.write(Buffer.concat(request))
  const [reply] = await once(socket, 'data')
  return { socket, code: Number(reply[1]) }
}

/** What comes by the HTTP listener from a device, by name. */
async function askByHttpProxy(listener: number, name: string, port: number, text: string) {
  const socket = connect({ port: listener, host: '127.0.0.1', allowHalfOpen: true })
  socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nhost: ${name}:${port}\r\n\r\n`)
  const [reply] = await once(socket, 'data')
  assert.is(String(reply), 'HTTP/1.1 200 Connection established\r\n\r\n')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end(text)
  await once(socket, 'end')
  return String(Buffer.concat(chunks))
}

async function socksReply(socks: number, name: string, port: number): Promise<number> {
  const { socket, code } = await askedBySocks(socks, name, port)
  socket.destroy()
  return code
}

rule('publishes services, reaches them, and goes on without the registry', async () => {
  await using web = await startTcpService('web')
  await using dns = await startUdpService('dns')
  const [egress, later] = [await freePort(), await freePort()]
  const [socks, httpProxy] = [await freePort(), await freePort()]
  const one: ProxyDaemonOptions = {
    name: 'one',
    folder,
    ports: { wireguard: await freePort(), mesh: await freePort() },
    proxy: [
      ...['--egress', `tcp:${egress}:two:8080`, '--egress', `udp:${egress}:two:53`],
      ...['--socks5', `${socks}`, '--http-proxy', `${httpProxy}`],
    ],
    isWithoutUserNamespaces: true,
  }
  const two: ProxyDaemonOptions = {
    name: 'two',
    folder,
    ports: { wireguard: await freePort(), mesh: await freePort() },
    proxy: ['--ingress', `udp:53:localhost:${dns.port}`],
    isWithoutUserNamespaces: true,
  }
  await using near = await startProxyDaemon({ ...one, joining: await joining() })
  {
    await using far = await startProxyDaemon({ ...two, joining: await joining() })
    await untilPinged(near, 'two')
    const told = await far.nexctl('expose', String(web.port), '--as', '8080')
    assert.match(told, /is reached at\n {2}[\d.]+:8080\n {2}\[[\da-f:]+\]:8080\n/)
    assert.is(await askTcp(egress, 'tcp'), 'web:tcp')
    assert.is(await askUdp(egress, 'udp'), 'dns:udp')
    assert.is(await askBySocks(socks, 'two', 8080, 'socks'), 'web:socks')
    assert.is(await askByHttpProxy(httpProxy, 'two', 8080, 'http'), 'web:http')
    await addRecords([
      { kind: 'alias', name: 'www', value: 'two' },
      { kind: 'address', name: 'outside', value: '192.0.2.1' },
    ])
    await untilNamed(near, 'www.ada.nexodus')
    for (const name of ['two.ada.nexodus', 'www', 'WWW.ada.nexodus'])
      assert.is(await askBySocks(socks, name, 8080, name), `web:${name}`)
    // No address of the mesh: refused, as any other.
    assert.is(await socksReply(socks, 'outside', 8080), 2)
    await registry[Symbol.asyncDispose]()
    assert.is(await askBySocks(socks, 'www', 8080, 'still'), 'web:still')
    assert.is(await askTcp(egress, 'x'.repeat(300_000)), `web:${'x'.repeat(300_000)}`)
    await near.nexctl('nexd', 'proxy', 'add', '--egress', `tcp:${later}:two:8080`)
    assert.is(await askTcp(later, 'later'), 'web:later')
    await assertRefused(far.nexctl('nexd', 'proxy', 'add', '--ingress', 'tcp:0:a:1'), /port "0"/)
    assert.match(await far.nexctl('nexd', 'proxy', 'list'), /--ingress tcp:8080:127\.0\.0\.1:/)
  }
  await using again = await startProxyDaemon(two)
  await untilPinged(near, 'two')
  assert.is(await askTcp(later, 'again'), 'web:again')
  await again.nexctl('nexd', 'proxy', 'remove', '--ingress', `tcp:8080:127.0.0.1:${web.port}`)
  assert.is(
    await askTcp(later, 'x').catch((error: NodeJS.ErrnoException) => error.code),
    'ECONNRESET',
  )
})

async function assertRefused(work: Promise<unknown>, says: RegExp): Promise<void> {
  const message = await work.then(
    () => 'not refused',
    (error: Error) => error.message,
  )
  assert.match(message, says)
}

rule.run()
