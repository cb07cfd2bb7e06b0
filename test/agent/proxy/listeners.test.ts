/** The SOCKS and HTTP listeners, between two proxies whose stacks are joined. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startHttpProxy } from '../../../agent/proxy/http-server.ts'
import { startSocksServer } from '../../../agent/proxy/socks-server.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import {
  startTcpService,
  startTwoProxies,
  startUdpService,
  type TwoProxies,
  until,
} from './two-proxies.ts'

const AT = { address: parseIpAddress('127.0.0.1'), port: 0 }
const parts = ({ near }: TwoProxies) => ({ ...near, clock: systemClock })

/** Sends bytes, and has what comes back until so many bytes are there, or the end. */
async function exchange(socket: Socket, bytes: Uint8Array, length: number): Promise<Buffer> {
  if (bytes.length > 0) socket.write(bytes)
  let got = Buffer.alloc(0)
  while (got.length < length) {
    const chunk: unknown = socket.read()
    if (chunk instanceof Uint8Array) got = Buffer.concat([got, chunk])
    else if (socket.readableEnded || socket.destroyed) break
    else await systemClock.sleep(1)
  }
  return got
}

async function dialled(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const GREETING = Uint8Array.of(5, 1, 0)

function request5(command: number, host: Uint8Array, port: number): Buffer {
  return Buffer.concat([Uint8Array.of(5, command, 0), host, Uint8Array.of(port >> 8, port & 255)])
}

const name = (text: string) => Buffer.concat([Uint8Array.of(3, text.length), Buffer.from(text)])
const FAR4 = Uint8Array.of(1, 100, 64, 0, 2)
const FAR6 = Uint8Array.of(4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)

const socks = suite('SOCKS listener')

for (const [what, host] of Object.entries({ name: name('far'), IPv4: FAR4, IPv6: FAR6 })) {
  socks(`reaches a device by ${what}`, async () => {
    await using web = await startTcpService('web')
    await using two = await startTwoProxies({
      far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
    })
    await using server = await startSocksServer(AT, parts(two))
    const client = await dialled(server.port)
    assert.equal([...(await exchange(client, GREETING, 2))], [5, 0])
    // What comes with the request belongs to the connection.
    const early = Buffer.concat([request5(1, host, 80), Buffer.from('early ')])
    const length = what === 'IPv6' ? 22 : 10
    const reply = await exchange(client, early, length)
    assert.equal([...reply.subarray(0, 3)], [5, 0, 0])
    client.end('late')
    const answer = await exchange(client, Buffer.alloc(0), 14)
    assert.is(String(answer), 'web:early late')
    await until(() => two.near.connections.size === 0)
  })
}

socks('takes a greeting and a request that come byte by byte', async () => {
  await using web = await startTcpService('web')
  await using two = await startTwoProxies({ far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] } })
  await using server = await startSocksServer(AT, parts(two))
  const client = await dialled(server.port)
  client.setNoDelay()
  for (const byte of [...GREETING, ...request5(1, name('far'), 80)]) {
    client.write(Uint8Array.of(byte))
    await systemClock.sleep(2)
  }
  client.end('x')
  assert.is(String((await exchange(client, Buffer.alloc(0), 17)).subarray(12)), 'web:x')
})

/** The request, and the reply to it (RFC 1928 §6). */
const REFUSED: Readonly<Record<string, readonly [Buffer, number]>> = {
  'an address outside of the mesh': [request5(1, Uint8Array.of(1, 192, 0, 2, 1), 80), 2],
  'loopback, by address': [request5(1, Uint8Array.of(1, 127, 0, 0, 1), 80), 2],
  'a name of no device': [request5(1, name('example.org'), 80), 2],
  'a port that nobody listens on': [request5(1, FAR4, 81), 5],
  'the command BIND': [request5(2, FAR4, 80), 7],
  'an unknown command': [request5(9, FAR4, 80), 7],
  'an unknown type of address': [request5(1, Uint8Array.of(2, 1, 1, 1, 1), 80), 8],
  'an empty name': [request5(1, name(''), 80), 8],
  'a name with a line break': [request5(1, name('fa\nr'), 80), 8],
}

for (const [what, [bytes, reply]] of Object.entries(REFUSED)) {
  socks(`refuses ${what}`, async () => {
    await using two = await startTwoProxies()
    await using server = await startSocksServer(AT, parts(two))
    const client = await dialled(server.port)
    await exchange(client, GREETING, 2)
    const answer = await exchange(client, bytes, 10)
    assert.equal([...answer.subarray(0, 2)], [5, reply])
    assert.is((await exchange(client, Buffer.alloc(0), 1)).length, 0)
    client.destroy()
  })
}

socks('refuses other versions, and clients that want a password', async () => {
  await using two = await startTwoProxies()
  await using server = await startSocksServer(AT, parts(two))
  for (const greeting of [Uint8Array.of(4, 1), Uint8Array.of(5, 0), Buffer.from('GET / HTTP')]) {
    const client = await dialled(server.port)
    const answer = await exchange(client, greeting, 10)
    assert.is(answer[1], 8)
    client.destroy()
  }
  const client = await dialled(server.port)
  assert.equal([...(await exchange(client, Uint8Array.of(5, 2, 2, 1), 3))], [5, 255])
  client.destroy()
  await until(() => two.near.connections.size === 0)
})

socks('carries datagrams both ways, as long as the connection lasts', async () => {
  await using dns = await startUdpService('dns')
  await using two = await startTwoProxies({ far: { ingress: [`udp:53:127.0.0.1:${dns.port}`] } })
  await using server = await startSocksServer(AT, parts(two))
  const client = await dialled(server.port)
  await exchange(client, GREETING, 2)
  const reply = await exchange(client, request5(3, Uint8Array.of(1, 0, 0, 0, 0), 0), 10)
  assert.equal([...reply.subarray(0, 8)], [5, 0, 0, 1, 127, 0, 0, 1])
  const port = reply.readUInt16BE(8)
  const socket = createSocket('udp4')
  const send = (bytes: Uint8Array) => socket.send(bytes, port, '127.0.0.1')
  // Dropped: too short, a fragment, not of the mesh.
  send(Uint8Array.of(0, 0, 0, 1))
  send(Buffer.concat([Uint8Array.of(0, 0, 1), FAR4, Uint8Array.of(0, 53, 65)]))
  send(Buffer.concat([Uint8Array.of(0, 0, 0, 1, 8, 8, 8, 8, 0, 53, 65)]))
  send(
    Buffer.concat([Uint8Array.of(0, 0, 0), name('far'), Uint8Array.of(0, 53), Buffer.from('who')]),
  )
  const [answer] = await once(socket, 'message')
  assert.equal([...answer.subarray(0, 10)], [0, 0, 0, 1, 100, 64, 0, 2, 0, 53])
  assert.is(String(answer.subarray(10)), 'dns:who')
  assert.equal(dns.asked.map(String), ['who'])
  socket.close()
  assert.is(two.near.stack.counts().udpSockets, 1)
  client.destroy()
  await until(() => two.near.stack.counts().udpSockets === 0)
})

socks.run()

const http = suite('HTTP listener')

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, unknown>>
}

async function through(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options
  const asking = request({ host: '127.0.0.1', port, path, method, headers })
  asking.end(body)
  const [response] = await once(asking, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, body: text, headers: response.headers }
}

async function startWeb(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    incoming.on('end', () => {
      response.setHeader('x-secret-hop', 'no')
      response.setHeader('connection', 'x-secret-hop')
      response.writeHead(201, { 'x-kept': 'yes' })
      const { host, te, 'x-mine': mine, 'x-hop': hop } = incoming.headers
      const { 'proxy-authorization': password } = incoming.headers
      response.end(
        JSON.stringify({
          url: incoming.url,
          method: incoming.method,
          host,
          te,
          mine,
          hop,
          password,
          body,
        }),
      )
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

http('passes on requests with an absolute URI, without what is for the proxy', async () => {
  await using web = await startWeb()
  await using two = await startTwoProxies({ far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] } })
  await using server = await startHttpProxy(AT, parts(two))
  for (const host of ['far', FAR[4], `[${FAR[6]}]`]) {
    const { status, body, headers } = await through(server.port, `http://${host}/a/b?c=d`, {
      method: 'POST',
      headers: {
        connection: 'x-hop',
        'x-hop': 'no',
        te: 'trailers',
        'proxy-authorization': 'Basic secret',
        'x-mine': 'yes',
      },
      body: 'the body',
    })
    assert.is(status, 201)
    assert.is(headers['x-kept'], 'yes')
    assert.is(headers['x-secret-hop'], undefined)
    assert.equal(JSON.parse(body), {
      url: '/a/b?c=d',
      method: 'POST',
      host,
      mine: 'yes',
      body: 'the body',
    })
  }
  await until(() => two.far.connections.size === 0)
})

http('joins connections for CONNECT', async () => {
  await using web = await startTcpService('web')
  await using two = await startTwoProxies({ far: { ingress: [`tcp:443:127.0.0.1:${web.port}`] } })
  await using server = await startHttpProxy(AT, parts(two))
  for (const host of ['far', FAR[4], `[${FAR[6]}]`]) {
    const client = await dialled(server.port)
    const head = 'HTTP/1.1 200 Connection established\r\n\r\n'
    client.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`)
    assert.is(String(await exchange(client, Buffer.from('early '), head.length)), head)
    client.end('late')
    assert.is(String(await exchange(client, Buffer.alloc(0), 14)), 'web:early late')
  }
  await until(() => two.near.connections.size === 0)
})

http('is no open proxy, and says what is wrong', async () => {
  await using two = await startTwoProxies()
  await using server = await startHttpProxy(AT, parts(two))
  for (const [path, status, says] of [
    ['http://127.0.0.1/', 403, /no device and no address of the mesh/],
    ['http://example.org/', 403, /"example.org"/],
    ['http://far:81/', 502, /ECONNREFUSED/],
    ['/', 400, /absolute http/],
    ['https://far/', 400, /CONNECT for https/],
    ['ftp://far/', 400, /absolute http/],
  ] as const) {
    const answer = await through(server.port, path)
    assert.is(answer.status, status)
    assert.match(answer.body, says)
  }
  for (const [target, status] of [
    ['127.0.0.1:22', 403],
    ['example.org:443', 403],
    ['far:82', 502],
    ['far', 400],
    ['far:0', 400],
    ['far:99999', 400],
  ] as const) {
    const client = await dialled(server.port)
    const bytes = Buffer.from(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
    assert.match(String(await exchange(client, bytes, 12)), new RegExp(`^HTTP/1.1 ${status}`))
    client.destroy()
  }
})

http.run()
