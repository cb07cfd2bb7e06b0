/** TCP between two stacks on a simulated path, in virtual time. */
import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TcpConnection } from '../../../agent/stack/tcp-connection.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import {
  FAR,
  NEAR,
  newPair,
  type Pair,
  type PathOptions,
  pattern,
} from '../../../simulations/world/stack-pair.ts'

const rule = suite('TCP of the stack')

/** All that a connection brings, until it ends. */
function drained(connection: TcpConnection): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    connection.on('data', (chunk: Buffer) => chunks.push(chunk))
    connection.on('end', () => resolve(Buffer.concat(chunks)))
    connection.on('error', reject)
  })
}

function closed(connection: TcpConnection): Promise<string> {
  return new Promise((resolve) => {
    let reason = 'closed'
    connection.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    connection.on('close', () => resolve(reason))
  })
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Those who called. */
function accepting(pair: Pair, port: number): TcpConnection[] {
  const accepted: TcpConnection[] = []
  pair.far.listenTcp(port, (connection) => {
    connection.on('error', () => {})
    accepted.push(connection)
  })
  return accepted
}

/** Sends back what it gets, with backpressure both ways. */
function echo(pair: Pair, port: number): void {
  pair.far.listenTcp(port, (connection) => {
    connection.on('error', () => {})
    connection.pipe(connection)
  })
}

const PATHS: Readonly<Record<string, PathOptions>> = {
  'a short path': {},
  'a long path': { delayMs: 40 },
  'a path that loses one packet in a hundred': { delayMs: 5, loss: 0.01 },
  'a path that loses one packet in ten': { delayMs: 2, loss: 0.1 },
  'a path that mixes packets': { delayMs: 5, disorder: 0.1, disorderMs: 20 },
  'a path that repeats packets': { delayMs: 5, duplicates: 0.1 },
  'a path that does all of it': { delayMs: 8, loss: 0.02, disorder: 0.05, duplicates: 0.02 },
  'a slow path with a short queue': { delayMs: 10, rate: 20_000_000, queue: 20 },
}

for (const [what, path] of Object.entries(PATHS)) {
  for (const family of [4, 6] as const) {
    rule(`brings all bytes in order both ways over ${what}, IPv${family}`, async () => {
      using pair = newPair({ ...path, seed: family })
      echo(pair, 80)
      const sent = pattern(400_000, family)
      const connection = pair.near.connectTcp({ address: FAR[family], port: 80 })
      const back = drained(connection)
      connection.end(sent)
      assert.is(digest(await pair.meanwhile(back)), digest(sent))
      await pair.until(() => pair.near.counts().active + pair.far.counts().active === 0)
      assert.equal(pair.logged, [])
    })
  }
}

rule('tells both ends who they talk to', async () => {
  using pair = newPair()
  const accepted = accepting(pair, 80)
  const connection = pair.near.connectTcp({ address: FAR[6], port: 80 })
  assert.ok(connection.connecting)
  await pair.until(() => accepted.length === 1)
  const [other] = accepted
  assert.not(connection.connecting)
  assert.is(connection.localAddress, NEAR[6])
  assert.is(connection.remotePort, 80)
  assert.is(other?.remoteAddress, NEAR[6])
  assert.is(other?.localAddress, FAR[6])
  assert.is(other?.remotePort, connection.localPort)
  connection.on('error', () => {})
  other?.on('error', () => {})
})

rule('carries two hundred connections at once, each its own bytes', async () => {
  using pair = newPair({ delayMs: 5, loss: 0.01, seed: 7 })
  echo(pair, 80)
  const all = Array.from({ length: 200 }, (_, index) => {
    const sent = pattern(20_000, index)
    const connection = pair.near.connectTcp({ address: FAR[index % 2 === 0 ? 4 : 6], port: 80 })
    const back = drained(connection)
    connection.end(sent)
    return { sent, back }
  })
  for (const { sent, back } of all) assert.is(digest(await pair.meanwhile(back)), digest(sent))
  await pair.until(() => pair.far.counts().connections === 0)
})

rule('closes each direction on its own', async () => {
  using pair = newPair({ delayMs: 5 })
  const accepted = accepting(pair, 80)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  const back = drained(connection)
  connection.end('question')
  await pair.until(() => accepted.length === 1)
  const [other] = accepted
  if (other === undefined) throw new Error('nobody called')
  assert.is(String(await pair.meanwhile(drained(other))), 'question')
  await pair.clock.advance(30_000)
  other.write('a long ')
  await pair.clock.advance(30_000)
  other.end('answer')
  assert.is(String(await pair.meanwhile(back)), 'a long answer')
})

rule('refuses where nobody listens, and where nobody is reached any more', async () => {
  using pair = newPair({ delayMs: 5 })
  const nobody = pair.near.connectTcp({ address: FAR[4], port: 81 })
  assert.is(await pair.meanwhile(closed(nobody)), 'ECONNREFUSED')
  const listener = pair.far.listenTcp(82, () => {})
  listener.close()
  listener.close()
  const late = pair.near.connectTcp({ address: FAR[6], port: 82 })
  assert.is(await pair.meanwhile(closed(late)), 'ECONNREFUSED')
})

rule('gives up a connection that is not answered, in half a minute', async () => {
  using pair = newPair()
  pair.out.cut(true)
  const begun = pair.clock.monotonicMs()
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  assert.is(await pair.meanwhile(closed(connection)), 'ETIMEDOUT')
  const tookMs = pair.clock.monotonicMs() - begun
  assert.ok(tookMs > 20_000 && tookMs < 40_000, `${tookMs} ms`)
})

rule('has no way to a family it has no address of', async () => {
  using pair = newPair()
  pair.near.setAddresses([NEAR[4]])
  const connection = pair.near.connectTcp({ address: FAR[6], port: 80 })
  assert.is(await pair.meanwhile(closed(connection)), 'EADDRNOTAVAIL')
})

rule('resets a connection that is destroyed, and tells the other side', async () => {
  using pair = newPair({ delayMs: 5 })
  const accepted = accepting(pair, 80)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  await pair.until(() => accepted.length === 1)
  const [other] = accepted
  if (other === undefined) throw new Error('nobody called')
  const end = closed(other)
  connection.destroy()
  assert.is(await pair.meanwhile(end), 'ECONNRESET')
  await pair.until(() => pair.near.counts().active + pair.far.counts().active === 0, 1000)
})

rule('holds no more for a slow reader than its window, and loses nothing', async () => {
  using pair = newPair({ delayMs: 5 })
  const accepted = accepting(pair, 80)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  const sent = pattern(3_000_000)
  connection.end(sent)
  await pair.clock.advance(120_000)
  const [other] = accepted
  if (other === undefined) throw new Error('nobody called')
  assert.ok(other.bytesRead <= 65_536 + 1420, `${other.bytesRead} bytes held`)
  assert.ok(connection.bytesWritten < 400_000, `${connection.bytesWritten} bytes queued`)
  assert.is(digest(await pair.meanwhile(drained(other))), digest(sent))
  connection.on('error', () => {})
})

rule('ends a connection whose peer vanished: with data on its way in minutes', async () => {
  using pair = newPair({ delayMs: 5 })
  echo(pair, 80)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  await pair.until(() => !connection.connecting)
  pair.out.cut(true)
  pair.back.cut(true)
  connection.write(pattern(5000))
  const begun = pair.clock.monotonicMs()
  assert.is(await pair.meanwhile(closed(connection)), 'ETIMEDOUT')
  assert.ok(pair.clock.monotonicMs() - begun < 300_000)
  assert.is(pair.near.counts().active, 0)
})

rule('ends an idle connection whose peer vanished, by keep-alive, on both sides', async () => {
  using pair = newPair({ delayMs: 5 })
  let other: Promise<string> | undefined
  pair.far.listenTcp(80, (connection) => {
    other = closed(connection)
  })
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  await pair.until(() => other !== undefined)
  await pair.clock.advance(3_600_000)
  assert.not(connection.destroyed)
  pair.out.cut(true)
  pair.back.cut(true)
  const begun = pair.clock.monotonicMs()
  assert.is(await pair.meanwhile(closed(connection)), 'ETIMEDOUT')
  assert.is(await pair.meanwhile(other ?? Promise.reject()), 'ETIMEDOUT')
  assert.ok(pair.clock.monotonicMs() - begun < 300_000)
})

rule('leaves nothing behind after a thousand connections, round after round', async () => {
  using pair = newPair({ delayMs: 1 })
  echo(pair, 80)
  const memory: number[] = []
  for (let round = 0; round < 4; round += 1) {
    const all = Array.from({ length: 1000 }, (_, index) => {
      const connection = pair.near.connectTcp({ address: FAR[index % 2 === 0 ? 4 : 6], port: 80 })
      const back = drained(connection)
      connection.end(pattern(3000, index))
      return back
    })
    for (const back of all) assert.is((await pair.meanwhile(back)).length, 3000)
    await pair.until(() => {
      const [near, far] = [pair.near.counts(), pair.far.counts()]
      return near.active + near.waiting + far.active + far.waiting === 0
    })
    assert.is(pair.near.counts().connections + pair.far.counts().connections, 0)
    memory.push(pair.near.counts().memoryBytes + pair.far.counts().memoryBytes)
  }
  assert.is(memory[3], memory[1])
})

rule('resets the connections of an address that is taken away, and serves a new one', async () => {
  using pair = newPair({ delayMs: 5 })
  const accepted = accepting(pair, 80)
  const on4 = pair.near.connectTcp({ address: FAR[4], port: 80 })
  const on6 = pair.near.connectTcp({ address: FAR[6], port: 80 })
  await pair.until(() => accepted.length === 2)
  for (const connection of [on4, on6, ...accepted]) connection.on('error', () => {})
  const another = parseIpAddress('100.64.0.77')
  pair.far.setAddresses([another, FAR[6]])
  await pair.clock.advance(100)
  assert.ok(on4.destroyed)
  assert.not(on6.destroyed)
  const toAnother = pair.near.connectTcp({ address: another, port: 80 })
  toAnother.on('error', () => {})
  await pair.until(() => accepted.length === 3)
  assert.is(accepted[2]?.localAddress, another)
})

rule('reaches itself by its own address', async () => {
  using pair = newPair()
  pair.near.listenTcp(80, (connection) => {
    connection.on('error', () => {})
    connection.pipe(connection)
  })
  const connection = pair.near.connectTcp({ address: NEAR[4], port: 80 })
  const back = drained(connection)
  connection.end('myself')
  assert.is(String(await pair.meanwhile(back)), 'myself')
  assert.is(pair.out.sent, 0)
})

rule('listens on a port once, and not on more than the limit', () => {
  using pair = newPair()
  pair.far.listenTcp(80, () => {})
  assert.throws(() => pair.far.listenTcp(80, () => {}), /EADDRINUSE/)
  for (let port = 1000; pair.far.counts().listeners < 1024; port += 1)
    pair.far.listenTcp(port, () => {})
  assert.throws(() => pair.far.listenTcp(99, () => {}), /ENOBUFS/)
})

rule.run()
