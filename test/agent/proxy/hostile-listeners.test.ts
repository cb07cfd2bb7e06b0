/** The SOCKS and HTTP listeners where a client or a service does what it should not. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startHttpProxy } from '../../../agent/proxy/http-server.ts'
import { startSocksServer } from '../../../agent/proxy/socks-server.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { startTwoProxies, startUdpService, type TwoProxies, until } from './two-proxies.ts'

const AT = { address: parseIpAddress('127.0.0.1'), port: 0 }
const parts = ({ near }: TwoProxies) => ({ ...near, clock: systemClock })

async function dialled(port: number, bytes: Uint8Array | string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(bytes)
  return socket
}

/** A web server that a connection gets `answer` from, whatever it asks. */
async function startOdd(answer: string): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

async function asked(port: number, method: string, body?: readonly string[]) {
  const headers = body === undefined ? {} : { 'transfer-encoding': 'chunked' }
  const asking = request({ host: '127.0.0.1', port, path: 'http://far/x', method, headers })
  for (const part of body ?? []) asking.write(part)
  asking.end()
  const [response]: [IncomingMessage] = (await once(asking, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, text }
}

const http = suite('HTTP listener, hostile')

for (const [what, answer, says] of [
  ['a status below 100', 'HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n', /status 99/],
  ['a status of zero', 'HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n', /status 0/],
  [
    'a change of protocol that nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    /protocol that was not asked for/,
  ],
  ['no HTTP at all', 'SSH-2.0-x\r\n', /./],
] as const) {
  http(`tells the client of a service that answers with ${what}`, async () => {
    await using web = await startOdd(answer)
    await using two = await startTwoProxies({ far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] } })
    await using server = await startHttpProxy(AT, parts(two))
    const { status, text } = await asked(server.port, 'GET')
    assert.is(status, 502)
    assert.match(text, says)
    await until(() => two.near.connections.size === 0)
  })
}

for (const method of ['GET', 'DELETE', 'OPTIONS', 'POST']) {
  http(`passes on a body without a length: ${method}`, async () => {
    const server = createServer((incoming, response) => {
      let body = ''
      incoming.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      incoming.on('end', () => response.end(`${incoming.method} ${body}`))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    {
      await using two = await startTwoProxies({ far: { ingress: [`tcp:80:127.0.0.1:${port}`] } })
      await using proxy = await startHttpProxy(AT, parts(two))
      assert.equal(await asked(proxy.port, method, ['the ', 'body']), {
        status: 200,
        text: `${method} the body`,
      })
    }
    server.close()
    server.closeAllConnections()
  })
}

http('dials for one request of a connection at a time, and cuts off who sends many', async () => {
  await using two = await startTwoProxies()
  await using server = await startHttpProxy(AT, parts(two))
  const line = 'GET http://100.64.0.99/ HTTP/1.1\r\nhost: x\r\n\r\n'
  const client = await dialled(server.port, line.repeat(10))
  await until(() => two.near.stack.counts().connections > 0)
  await systemClock.sleep(100)
  assert.is(two.near.stack.counts().connections, 1)
  client.write(line.repeat(20))
  await new Promise((resolve) => client.once('close', resolve))
  await until(() => two.near.connections.size === 0)
})

http.run()

const socks = suite('SOCKS listener, hostile')
const GREETING = Uint8Array.of(5, 1, 0)
const ELSEWHERE = Uint8Array.of(5, 1, 0, 1, 192, 0, 2, 1, 0, 80)

socks('lets go of a client that was refused and had sent data on trust', async () => {
  await using two = await startTwoProxies()
  await using server = await startSocksServer(AT, parts(two))
  const early = Buffer.concat([GREETING, ELSEWHERE, Buffer.from('GET / HTTP/1.1\r\n\r\n')])
  const client = await dialled(server.port, early)
  client.end()
  await until(() => two.near.connections.size === 1)
  client.resume()
  await until(() => two.near.connections.size === 0)
})

socks("gives a client's answers to nobody else on the host", async () => {
  await using dns = await startUdpService('dns')
  await using two = await startTwoProxies({ far: { ingress: [`udp:53:127.0.0.1:${dns.port}`] } })
  await using server = await startSocksServer(AT, parts(two))
  const client = await dialled(server.port, GREETING)
  await once(client, 'data')
  client.write(Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0))
  const [reply]: Buffer[] = await once(client, 'data')
  const port = reply?.readUInt16BE(8) ?? 0
  const [own, other] = [createSocket('udp4'), createSocket('udp4')]
  const stolen: Buffer[] = []
  other.on('message', (data) => stolen.push(data))
  const header = Uint8Array.of(0, 0, 0, 1, 100, 64, 0, 2, 0, 53)
  const ask = (socket: typeof own, text: string): Promise<unknown> =>
    new Promise((done) =>
      socket.send(Buffer.concat([header, Buffer.from(text)]), port, '127.0.0.1', done),
    )
  await ask(own, 'one')
  await once(own, 'message')
  await ask(other, 'thief')
  await ask(own, 'two')
  const [answer] = await once(own, 'message')
  assert.is(String(answer.subarray(10)), 'dns:two')
  assert.equal(dns.asked.map(String), ['one', 'two'])
  assert.equal(stolen, [])
  for (const socket of [own, other]) socket.close()
  client.destroy()
})

socks.run()
