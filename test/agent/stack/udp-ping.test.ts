/** Datagrams and echoes between two stacks on a simulated path, in virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { UdpMessage } from '../../../agent/stack/udp-sockets.ts'
import { type Endpoint, parseIpAddress } from '../../../protocol/address.ts'
import { FAR, NEAR, newPair, pattern } from '../../../simulations/world/stack-pair.ts'
import { udpPacket, unreachable } from './packets.ts'

const rule = suite('UDP and pings of the stack')

for (const family of [4, 6] as const) {
  rule(`brings datagrams and answers, from the port they were sent to, IPv${family}`, async () => {
    using pair = newPair({ delayMs: 5 })
    const service = pair.far.bindUdp(53, ({ data, local, remote }) =>
      service.send(Buffer.concat([data, Buffer.from('!')]), remote, local),
    )
    const back: UdpMessage[] = []
    const client = pair.near.bindUdp(0, (message) => void back.push(message))
    client.send(Buffer.from('who'), { address: FAR[family], port: 53 })
    await pair.until(() => back.length === 1)
    const [message] = back
    assert.is(String(Buffer.from(message?.data ?? [])), 'who!')
    assert.equal(message?.remote, { address: FAR[family], port: 53 })
    assert.is(message?.local, NEAR[family])
    assert.ok(client.port >= 32_768)
  })

  rule(`brings an empty datagram, and the largest, in fragments, IPv${family}`, async () => {
    using pair = newPair({ delayMs: 5 })
    const got: Uint8Array[] = []
    pair.far.bindUdp(53, ({ data }) => void got.push(data))
    const client = pair.near.bindUdp(0, () => {})
    const largest = family === 4 ? 65_507 : 65_487
    const to = { address: FAR[family], port: 53 }
    client.send(new Uint8Array(0), to)
    client.send(pattern(largest), to)
    assert.throws(() => client.send(pattern(largest + 1), to), /EMSGSIZE/)
    await pair.until(() => got.length === 2)
    assert.is(got[0]?.length, 0)
    assert.ok(Buffer.from(got[1] ?? []).equals(pattern(largest)))
    assert.ok(pair.out.sent > 40)
  })

  rule(`forgets fragments whose datagram never becomes whole, IPv${family}`, async () => {
    using pair = newPair({ loss: 0.3 })
    let count = 0
    pair.far.bindUdp(53, () => {
      count += 1
    })
    const client = pair.near.bindUdp(0, () => {})
    const memory: number[] = []
    for (let round = 0; round < 20; round += 1) {
      for (let index = 0; index < 50; index += 1)
        client.send(pattern(20_000), { address: FAR[family], port: 53 })
      await pair.clock.advance(20_000)
      memory.push(pair.far.counts().memoryBytes)
    }
    assert.ok(count < 100, `${count} datagrams became whole`)
    assert.is(memory[19], memory[2])
  })

  rule(`answers echoes, and measures the way there and back, IPv${family}`, async () => {
    using pair = newPair({ delayMs: 25 })
    const tookMs = await pair.meanwhile(pair.near.ping(FAR[family]))
    assert.ok(tookMs >= 50 && tookMs < 52, `${tookMs} ms`)
    assert.is(pair.near.counts().pings, 0)
  })

  rule(`gives up a ping that is not answered, IPv${family}`, async () => {
    using pair = newPair()
    pair.back.cut(true)
    let code: unknown
    await pair.meanwhile(
      pair.near.ping(FAR[family], 2000).catch((error: NodeJS.ErrnoException) => {
        code = error.code
      }),
    )
    assert.is(code, 'ETIMEDOUT')
    assert.is(pair.near.counts().pings, 0)
  })
}

rule('waits for no more pings than the limit', async () => {
  using pair = newPair()
  pair.out.cut(true)
  const codes: unknown[] = []
  for (let index = 0; index < 300; index += 1)
    pair.near.ping(FAR[4]).catch((error: NodeJS.ErrnoException) => codes.push(error.code))
  assert.is(pair.near.counts().pings, 256)
  await pair.until(() => codes.length === 300)
  assert.is(codes.filter((code) => code === 'ENOBUFS').length, 44)
})

rule('does not ping a family it has no address of', async () => {
  using pair = newPair()
  pair.near.setAddresses([NEAR[4]])
  const refusal = await pair.near.ping(FAR[6]).catch((error: Error) => error.message)
  assert.match(String(refusal), /EADDRNOTAVAIL/)
})

rule('binds a port once, and forgets it when it is closed', async () => {
  using pair = newPair()
  let count = 0
  const socket = pair.far.bindUdp(53, () => {
    count += 1
  })
  assert.throws(() => pair.far.bindUdp(53, () => {}), /EADDRINUSE/)
  socket.close()
  socket.close()
  assert.throws(() => socket.send(Buffer.from('x'), { address: NEAR[4], port: 1 }), /EPIPE/)
  const client = pair.near.bindUdp(0, () => {})
  client.send(Buffer.from('x'), { address: FAR[4], port: 53 })
  await pair.clock.advance(100)
  assert.is(count, 0)
  assert.is(pair.far.counts().udpSockets, 0)
})

rule('sends from addresses of its own only', () => {
  using pair = newPair()
  const socket = pair.near.bindUdp(0, () => {})
  const strange = parseIpAddress('100.64.0.99')
  assert.throws(
    () => socket.send(Buffer.from('x'), { address: FAR[4], port: 53 }, strange),
    /EADDRNOTAVAIL/,
  )
})

rule('keeps ten thousand flows apart, and no more than the limit', async () => {
  using pair = newPair({ delayMs: 1 })
  const service = pair.far.bindUdp(53, ({ data, remote }) => service.send(data, remote))
  const wrong: number[] = []
  let right = 0
  const flows = Array.from({ length: 10_000 }, (_, index) =>
    pair.near.bindUdp(0, ({ data }) => {
      if (Buffer.from(data).readUInt32BE() === index) right += 1
      else wrong.push(index)
    }),
  )
  for (const [index, flow] of flows.entries()) {
    const data = Buffer.alloc(4)
    data.writeUInt32BE(index)
    flow.send(data, { address: FAR[4], port: 53 })
  }
  await pair.until(() => right === 10_000)
  assert.equal(wrong, [])
  while (pair.near.counts().udpSockets < 16_384) flows.push(pair.near.bindUdp(0, () => {}))
  assert.throws(() => pair.near.bindUdp(0, () => {}), /ENOBUFS/)
  for (const flow of flows) flow.close()
  assert.is(pair.near.counts().udpSockets, 0)
})

for (const family of [4, 6] as const) {
  rule(`hears that nothing listens where it sent to, from there only, IPv${family}`, async () => {
    using pair = newPair({ delayMs: 5 })
    const refused: Endpoint[] = []
    const client = pair.near.bindUdp(
      0,
      () => {},
      (remote) => void refused.push(remote),
    )
    const other = pair.near.bindUdp(
      0,
      () => {},
      () => assert.unreachable(),
    )
    client.send(pattern(100), { address: FAR[family], port: 54 })
    await pair.until(() => refused.length === 1)
    assert.equal(refused, [{ address: FAR[family], port: 54 }])
    const flow = { fromPort: client.port, toPort: 55, payload: pattern(20) }
    const quote = udpPacket({ from: NEAR[family], to: FAR[family], ...flow })
    // Another one than the destination, about what is not ours, cut short, and of another kind.
    const third = parseIpAddress(family === 4 ? '100.64.0.9' : 'fd00::9')
    pair.near.write(unreachable(third, NEAR[family], quote))
    pair.near.write(
      unreachable(FAR[family], NEAR[family], udpPacket({ ...flow, from: third, to: third })),
    )
    pair.near.write(unreachable(FAR[family], NEAR[family], quote.subarray(0, 20)))
    pair.near.write(unreachable(FAR[family], NEAR[family], quote, family === 4 ? 1 : 3))
    await pair.clock.advance(100)
    assert.is(refused.length, 1)
    pair.near.write(unreachable(FAR[family], NEAR[family], quote))
    await pair.clock.advance(100)
    assert.equal(refused[1], { address: FAR[family], port: 55 })
    other.close()
    client.close()
    pair.near.write(unreachable(FAR[family], NEAR[family], quote))
    await pair.clock.advance(100)
    assert.is(refused.length, 2)
  })

  rule(`tells who sent a message that nothing listens after all, IPv${family}`, async () => {
    using pair = newPair({ delayMs: 5 })
    const service = pair.far.bindUdp(53, (message) => service.refuse(message))
    const refused: Endpoint[] = []
    const client = pair.near.bindUdp(
      0,
      () => {},
      (remote) => void refused.push(remote),
    )
    client.send(pattern(3000), { address: FAR[family], port: 53 })
    await pair.until(() => refused.length === 1)
    assert.equal(refused, [{ address: FAR[family], port: 53 }])
    const sent = pair.back.sent
    for (let count = 0; count < 500; count += 1)
      client.send(pattern(10), { address: FAR[family], port: 53 })
    await pair.clock.advance(500)
    assert.ok(pair.back.sent - sent <= 150, `${pair.back.sent - sent} refusals`)
  })
}

rule('says once in a while, not always, that nothing listens on a port', async () => {
  using pair = newPair({ delayMs: 1 })
  const client = pair.near.bindUdp(0, () => {})
  for (let port = 1; port <= 1000; port += 1) client.send(pattern(10), { address: FAR[4], port })
  await pair.clock.advance(50)
  assert.ok(pair.back.sent > 50 && pair.back.sent < 200, `${pair.back.sent} refusals`)
})

rule.run()
