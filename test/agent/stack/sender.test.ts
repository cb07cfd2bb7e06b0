/** What the stack's sender makes of a path, in virtual time: rate, losses, disorder, queues, shares, memory. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TcpConnection } from '../../../agent/stack/tcp-connection.ts'
import {
  FAR,
  newPair,
  type Pair,
  type PathOptions,
  pattern,
} from '../../../simulations/world/stack-pair.ts'
import { spoilSackPermitted } from './packets.ts'

const rule = suite('the sender of the stack')

const RATE = 40_000_000
/** A path of 40 Mbit/s and 50 ms, whose queue is as long as a UDP buffer. */
const FAR_PATH: PathOptions = { delayMs: 25, rate: RATE, queue: 90 }
/** Bytes of a full segment on these paths, without options. */
const PACKET = 1420

/** Connections that send as much as they can; bytes that each brought. */
function floods(pair: Pair, count: number, from = pair.near, port = 80): number[] {
  const received: number[] = []
  pair.far.listenTcp(port, (connection) => {
    const index = received.push(0) - 1
    connection.on('error', () => {})
    connection.on('data', (data: Buffer) => {
      received[index] = (received[index] ?? 0) + data.length
    })
  })
  const data = pattern(64 * 1024)
  for (let index = 0; index < count; index += 1) {
    const connection = from.connectTcp({ address: FAR[4], port })
    const write = (): void => {
      while (connection.write(data)) void 0
    }
    connection.on('error', () => {}).on('drain', write)
    write()
  }
  return received
}

/** Of the path's rate, what each brings in ten seconds, after five to settle. */
async function shares(pair: Pair, count: number): Promise<number[]> {
  const received = floods(pair, count)
  await pair.clock.advance(5000)
  const before = [...received]
  await pair.clock.advance(10_000)
  return received.map((bytes, index) => ((bytes - (before[index] ?? 0)) * 8) / 10 / RATE)
}

const sum = (all: readonly number[]): number => all.reduce((total, each) => total + each, 0)

/** Milliseconds that a message takes, there and back; the first comes without the handshake. */
async function exchange(pair: Pair, connection: TcpConnection, bytes: number): Promise<number> {
  const begunMs = pair.clock.monotonicMs()
  let back = 0
  const count = (data: Buffer): void => {
    back += data.length
  }
  connection.on('data', count)
  connection.write(pattern(bytes))
  await pair.until(() => back === bytes)
  connection.off('data', count)
  return pair.clock.monotonicMs() - begunMs
}

async function echoed(pair: Pair): Promise<TcpConnection> {
  pair.far.listenTcp(80, (connection) => {
    connection.on('error', () => {})
    connection.pipe(connection)
  })
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  connection.on('error', () => {})
  await pair.until(() => !connection.connecting)
  return connection
}

/** Loses the packets with data, by their number, of those that near sends from now on. */
function losing(pair: Pair, isLost: (number: number) => boolean): { sent: number } {
  const counted = { sent: 0 }
  const send = pair.out.send
  pair.out.send = (packet) => {
    if (packet.length > 100) {
      counted.sent += 1
      if (isLost(counted.sent)) return
    }
    send(packet)
  }
  return counted
}

for (const loss of [0, 0.001, 0.01]) {
  rule(`fills a path of 50 ms that loses ${loss * 100} % by chance`, async () => {
    using pair = newPair({ ...FAR_PATH, loss })
    const share = sum(await shares(pair, 1))
    assert.ok(share > 0.8, `${share}`)
    assert.equal(pair.logged, [])
  })
}

for (const loss of [0, 0.01]) {
  rule(`gives eight connections shares of it, where it loses ${loss * 100} %`, async () => {
    using pair = newPair({ ...FAR_PATH, loss })
    const each = await shares(pair, 8)
    assert.ok(sum(each) > 0.8, `${sum(each)}`)
    assert.ok(Math.min(...each) > 0.2 / 8, each.join(' '))
  })
}

rule('gives eight connections shares of a short path with a short queue', async () => {
  using pair = newPair({ delayMs: 0.1, rate: RATE, queue: 90 })
  const each = await shares(pair, 8)
  assert.ok(sum(each) > 0.9, `${sum(each)}`)
  assert.ok(Math.min(...each) > 0.3 / 8, each.join(' '))
  assert.ok(pair.out.lost / pair.out.sent < 0.1, `${pair.out.lost} of ${pair.out.sent} lost`)
})

for (const queue of [60, 360]) {
  rule(`leaves CUBIC a share, and keeps its own, before a queue of ${queue}`, async () => {
    using pair = newPair({ ...FAR_PATH, queue })
    const own = floods(pair, 2)
    const rivals = floods(pair, 2, pair.rival, 81)
    await pair.clock.advance(10_000)
    const before = [sum(own), sum(rivals)] as const
    await pair.clock.advance(40_000)
    const each = [sum(own) - before[0], sum(rivals) - before[1]].map((b) => (b * 8) / 40 / RATE)
    assert.ok(sum(each) > 0.8, each.join(' '))
    assert.ok(Math.min(...each) > 0.1, each.join(' '))
  })
}

rule('as CUBIC, fills a path without losses, and narrows where there are some', async () => {
  const shareWith = async (loss: number): Promise<number> => {
    using pair = newPair({ ...FAR_PATH, loss })
    const received = floods(pair, 1, pair.rival)
    await pair.clock.advance(15_000)
    return (sum(received) * 8) / 15 / RATE
  }
  const [without, withSome] = [await shareWith(0), await shareWith(0.01)]
  assert.ok(without > 0.7, `${without}`)
  assert.ok(withSome > 0.02 && withSome < 0.5 * without, `${withSome}`)
})

rule('keeps a long queue short', async () => {
  using pair = newPair({ ...FAR_PATH, queue: 4000 })
  floods(pair, 1)
  await pair.clock.advance(4000)
  const times: number[] = []
  for (let round = 0; round < 40; round += 1) {
    times.push(await pair.meanwhile(pair.near.ping(FAR[4])))
    await pair.clock.advance(100)
  }
  const [least = 0] = times.sort((one, other) => one - other)
  const median = times[20] ?? 0
  assert.ok(least < 55 && median < 100, `least ${least} ms, median ${median} ms`)
  assert.is(pair.out.lost, 0)
})

rule('takes disorder for no loss, once it saw it', async () => {
  using pair = newPair({ ...FAR_PATH, disorder: 0.02, disorderMs: 5 })
  const received = floods(pair, 1)
  await pair.clock.advance(15_000)
  const needed = sum(received) / (PACKET - 52)
  assert.ok(sum(received) * 8 > 0.7 * 15 * RATE, `${sum(received)} bytes`)
  assert.ok(pair.out.sent < 1.03 * needed + 100, `${pair.out.sent} packets for ${needed}`)
})

rule('takes a path whose delay jumps for what it is', async () => {
  using pair = newPair({ ...FAR_PATH, jitterMs: 10 })
  const share = sum(await shares(pair, 1))
  assert.ok(share > 0.7, `${share}`)
})

rule('repairs the loss of the last segments in a few round trips', async () => {
  using pair = newPair({ delayMs: 10 })
  const connection = await echoed(pair)
  await exchange(pair, connection, 5000)
  losing(pair, (number) => number === 3 || number === 4)
  const tookMs = await exchange(pair, connection, 5000)
  assert.ok(tookMs < 120, `${tookMs} ms`)
})

rule('repairs the loss of what was sent again without a timeout', async () => {
  using pair = newPair({ delayMs: 10 })
  const connection = await echoed(pair)
  await exchange(pair, connection, 300_000)
  const counted = losing(pair, (number) => number === 3 || (number > 30 && number <= 90))
  const tookMs = await exchange(pair, connection, 300_000)
  assert.ok(counted.sent > 220 + 60, `${counted.sent} sent`)
  assert.ok(tookMs < 300, `${tookMs} ms`)
})

rule('goes on after a time without any path', async () => {
  using pair = newPair(FAR_PATH)
  const received = floods(pair, 1)
  await pair.clock.advance(5000)
  pair.out.cut(true)
  await pair.clock.advance(2000)
  pair.out.cut(false)
  await pair.clock.advance(3000)
  const before = sum(received)
  await pair.clock.advance(5000)
  const share = ((sum(received) - before) * 8) / 5 / RATE
  assert.ok(share > 0.7, `${share}`)
})

rule('follows a path that carries less from now on', async () => {
  using pair = newPair(FAR_PATH)
  const received = floods(pair, 1)
  await pair.clock.advance(5000)
  pair.out.rate = RATE / 8
  await pair.clock.advance(5000)
  const before = { bytes: sum(received), lost: pair.out.lost, sent: pair.out.sent }
  await pair.clock.advance(10_000)
  const share = ((sum(received) - before.bytes) * 8) / 10 / (RATE / 8)
  const lost = (pair.out.lost - before.lost) / (pair.out.sent - before.sent)
  assert.ok(share > 0.75, `${share}`)
  assert.ok(lost < 0.1, `${lost}`)
})

rule('sends to a peer without selective acknowledgements, with losses', async () => {
  using pair = newPair({ delayMs: 5, loss: 0.01 })
  const send = pair.out.send
  pair.out.send = (packet) => send(spoilSackPermitted(packet))
  const connection = await echoed(pair)
  const tookMs = await exchange(pair, connection, 1_000_000)
  assert.ok(tookMs < 60_000, `${tookMs} ms`)
})

rule('sends again what a peer told of and dropped', async () => {
  using pair = newPair({ delayMs: 10 })
  const connection = await echoed(pair)
  await exchange(pair, connection, 20_000)
  // The first is lost as long as the peer keeps what is behind it: six of its timeouts.
  const begunMs = pair.clock.monotonicMs()
  let isFirst = true
  let first: Uint8Array | undefined
  const send = pair.out.send
  pair.out.send = (packet) => {
    if (packet.length > 100 && isFirst) {
      isFirst = false
      first = packet.slice(24, 28)
    }
    const isAgain = first !== undefined && Buffer.from(packet.slice(24, 28)).equals(first)
    if (isAgain && packet.length > 100 && pair.clock.monotonicMs() - begunMs < 8000) return
    send(packet)
  }
  await exchange(pair, connection, 30_000)
})

rule('holds little for those who do not read, however many', async () => {
  using pair = newPair({ delayMs: 1 })
  pair.far.listenTcp(80, (connection) => void connection.on('error', () => {}))
  const data = pattern(1024 * 1024)
  for (let index = 0; index < 1500; index += 1) {
    const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
    connection.on('error', () => {}).write(data)
  }
  await pair.clock.advance(20_000)
  assert.is(pair.near.counts().active, 1500)
  const { memoryBytes } = pair.near.counts()
  assert.ok(memoryBytes < 160 * 1024 * 1024, `${memoryBytes} bytes`)
  assert.equal(pair.logged, [])
})

rule.run()
