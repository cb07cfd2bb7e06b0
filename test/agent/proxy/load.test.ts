// time limit: 600 s
/** Many at once, slow ones, and ones that never open: memory stays bounded, nothing is left, nobody starves. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { patientClock } from './skipping-clock.ts'
import { askTcp, freePort, startTcpService, startTwoProxies, until } from './two-proxies.ts'

const rule = suite('the proxy under load')

rule('carries a thousand connections at once, and leaves nothing, twice', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
    clock: patientClock(),
  })
  const text = 'x'.repeat(20_000)
  const memory: number[] = []
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(Array.from({ length: 1000 }, () => askTcp(port, text)))
    assert.ok(answers.every((answer) => answer === `web:${text}`))
    await until(() => two.near.connections.size + two.far.connections.size === 0)
    await until(() => two.near.stack.counts().active + two.far.stack.counts().active === 0)
    memory.push(two.near.stack.counts().memoryBytes + two.far.stack.counts().memoryBytes)
  }
  assert.ok((memory[1] ?? 0) <= (memory[0] ?? 0) * 1.25)
})

rule('holds no more for a slow reader than its buffers', async () => {
  const sent = { bytes: 0 }
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    const chunk = Buffer.alloc(64 * 1024)
    const write = () => {
      while (socket.write(chunk)) sent.bytes += chunk.length
      sent.bytes += chunk.length
    }
    socket.on('drain', write)
    write()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const at = typeof address === 'object' && address !== null ? address.port : 0
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${at}`] },
  })
  const reader = connect({ port, host: '127.0.0.1' })
  reader.on('error', () => {})
  await once(reader, 'connect')
  let before = -1
  while (sent.bytes !== before) {
    before = sent.bytes
    await systemClock.sleep(1500)
  }
  // The kernel's buffers of two sockets on loopback hold several megabytes; ours, less than two.
  assert.ok(sent.bytes < 24 * 1024 * 1024, `${sent.bytes} bytes taken from the service`)
  let got = 0
  reader.on('data', (data: Buffer) => {
    got += data.length
  })
  await until(() => got > 32 * 1024 * 1024)
  reader.destroy()
  await until(() => two.near.connections.size + two.far.connections.size === 0)
  for (const socket of sockets) socket.destroy()
  server.close()
})

/** Of a path the stack's sender gives even shares (test/agent/stack/sender.test.ts); here the processor is shared, and no
 *  queue tells one connection of the others. */
rule('starves none of connections that compete for the processor', async () => {
  const counts: number[] = []
  const server = createServer((socket) => {
    const index = counts.push(0) - 1
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => {
      counts[index] = (counts[index] ?? 0) + data.length
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const at = typeof address === 'object' && address !== null ? address.port : 0
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${at}`] },
  })
  const chunk = Buffer.alloc(64 * 1024)
  const sources = Array.from({ length: 8 }, () => {
    const socket = connect({ port, host: '127.0.0.1' })
    const write = () => {
      while (socket.write(chunk)) void 0
    }
    socket.on('drain', write).on('error', () => {})
    write()
    return socket
  })
  const haveAll = (bytes: number) => until(() => counts.length === 8 && Math.min(...counts) > bytes)
  // They do not begin together: what counts is what each gets once all are under way.
  await haveAll(1024 * 1024)
  counts.fill(0)
  await haveAll(8 * 1024 * 1024)
  const [least, most, shares] = [Math.min(...counts), Math.max(...counts), counts.join(' ')]
  for (const source of sources) source.destroy()
  assert.ok(most < 40 * least, shares)
  await until(() => two.near.connections.size + two.far.connections.size === 0)
  server.close()
})

rule('gives up a connection whose peer vanishes before it opens', async () => {
  const port = await freePort()
  await using two = await startTwoProxies({ near: { egress: [`tcp:${port}:far:80`] } })
  two.cut(true)
  const code = await askTcp(port, 'x').catch((error: NodeJS.ErrnoException) => error.code)
  assert.is(code, 'ECONNRESET')
  assert.is(two.near.stack.counts().active, 0)
})

rule.run()
