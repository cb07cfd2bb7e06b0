/** UAPI over a unix socket: order, chunks, errors, reconnection. The other end speaks the protocol by hand. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { openUapi, type Uapi, UapiError } from '../../../agent/tunnel/uapi.ts'

const directory = await mkdtemp(join(tmpdir(), 'nxt-uapi-'))
const path = join(directory, 'socket')
let [requests, connections]: [string[], number] = [[], 0]
let respond: (socket: Socket, request: string) => void
let server: Server
let uapi: Uapi

const rule = suite('uapi')

rule.before.each(async () => {
  ;[requests, connections] = [[], 0]
  respond = (socket) => socket.write('errno=0\n\n')
  server = createServer((socket) => {
    connections++
    let text = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      text += chunk
      if (!text.endsWith('\n\n')) return
      requests.push(text)
      respond(socket, text)
      text = ''
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  uapi = openUapi(path, systemClock)
})
rule.after.each(async () => {
  await uapi[Symbol.asyncDispose]()
  server.close()
})
rule.after(() => rm(directory, { recursive: true }))

rule('sends one request after the other over one connection', async () => {
  await Promise.all([uapi.set(['listen_port=1']), uapi.set(['listen_port=2']), uapi.get()])
  assert.equal(requests, ['set=1\nlisten_port=1\n\n', 'set=1\nlisten_port=2\n\n', 'get=1\n\n'])
  assert.is(connections, 1)
})

rule('puts an answer together from chunks, cut anywhere', async () => {
  const answer = 'listen_port=7\nfwmark=0\nerrno=0\n\n'
  for (const cut of [1, 14, answer.length - 1]) {
    respond = (socket) => {
      socket.write(answer.slice(0, cut))
      setTimeout(() => socket.write(answer.slice(cut)), 5)
    }
    assert.equal(await uapi.get(), 'listen_port=7\nfwmark=0\n')
  }
})

rule('names the errno, and goes on over a new connection', async () => {
  respond = (socket) => socket.write('errno=-98\n\n')
  const error = await uapi.set(['listen_port=1']).catch((cause: unknown) => cause)
  assert.instance(error, UapiError)
  assert.is((error as UapiError).errno, 'EADDRINUSE')
  respond = (socket) => socket.write('errno=0\n\n')
  assert.is(await uapi.get(), '')
  assert.is(connections, 2)
})

rule('fails the request under way when the connection is closed, and no later one', async () => {
  respond = (socket) => socket.destroy()
  const error = await uapi.get().catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_GONE')
  respond = (socket) => socket.write('errno=0\n\n')
  assert.is(await uapi.get(), '')
})

rule('says so when nobody listens', async () => {
  await using absent = openUapi(join(directory, 'absent'), systemClock)
  const error = await absent.get().catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_GONE')
  assert.match((error as Error).message, /absent does not answer: .*ENOENT/)
})

rule.run()
