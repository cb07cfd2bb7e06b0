/** What a member may send: floods, forged errors, and packets that are none. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TcpConnection } from '../../../agent/stack/tcp-connection.ts'
import { addressBytes, parseIpAddress } from '../../../protocol/address.ts'
import { FAR, NEAR, newPair, type Pair, pattern } from '../../../simulations/world/stack-pair.ts'
import { seededRandom } from '../../../simulations/world/virtual-clock.ts'
import { ipPacket, tcpSegment, tooBig } from './packets.ts'

const rule = suite('the stack under attack')

/** Lets it echo on port 80 of the far side, and keeps what passes by. */
function overheard(pair: Pair): Uint8Array[] {
  const packets: Uint8Array[] = []
  for (const link of [pair.out, pair.back]) {
    const send = link.send
    link.send = (packet) => {
      packets.push(packet.slice())
      send(packet)
    }
  }
  return packets
}

async function works(pair: Pair): Promise<boolean> {
  const sent = pattern(5000)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  const chunks: Buffer[] = []
  connection.on('data', (chunk: Buffer) => chunks.push(chunk))
  connection.on('error', () => {})
  connection.end(sent)
  await pair.until(() => connection.destroyed)
  return Buffer.concat(chunks).equals(sent)
}

function echo(pair: Pair): void {
  pair.far.listenTcp(80, (connection) => {
    connection.on('error', () => {})
    connection.pipe(connection)
  })
}

for (const seed of [1, 2, 3, 4]) {
  rule(`lives on after packets with bits flipped, cut, grown and mixed, seed ${seed}`, async () => {
    using pair = newPair({ delayMs: 1, seed })
    echo(pair)
    const far = pair.far.bindUdp(53, ({ data, remote }) => far.send(data, remote))
    const near = pair.near.bindUdp(0, () => {})
    const packets = overheard(pair)
    for (const family of [4, 6] as const) {
      near.send(pattern(4000), { address: FAR[family], port: 53 })
      await pair.meanwhile(pair.near.ping(FAR[family]))
      const connection = pair.near.connectTcp({ address: FAR[family], port: 80 })
      connection.on('error', () => {})
      connection.write(pattern(20_000))
      connection.resume()
      await pair.clock.advance(500)
    }
    const samples = packets.splice(0)
    const random = seededRandom(seed)
    const below = (count: number) => Math.floor(random() * count)
    let memory = 0
    for (let round = 0; round < 20_000; round += 1) {
      const packet = Uint8Array.from(samples[below(samples.length)] ?? [])
      const header = (packet[0] ?? 0) >> 4 === 4 ? 20 : 40
      // Half of them spoil what comes after the IP header only, so that they get further.
      const first = round % 2 === 0 ? 0 : header
      for (let flips = below(8); flips >= 0; flips -= 1) {
        const at = first + below(Math.max(1, packet.length - first))
        packet[at] = (packet[at] ?? 0) ^ (1 << below(8))
      }
      const cut = random() < 0.3 ? below(packet.length) : packet.length
      pair.far.write(packet.subarray(0, cut))
      pair.near.write(packet.subarray(0, cut))
      if (round % 500 === 0) await pair.clock.advance(50)
      if (round === 10_000) memory = pair.far.counts().memoryBytes
    }
    await pair.clock.advance(60_000)
    assert.equal(pair.logged, [])
    assert.ok(pair.far.counts().memoryBytes <= memory + 2 * 1024 * 1024)
    assert.ok(await works(pair))
  })
}

rule('lives on after packets whose checksums are right and whose fields are not', async () => {
  using pair = newPair({ delayMs: 1 })
  echo(pair)
  const random = seededRandom(9)
  const below = (count: number) => Math.floor(random() * count)
  for (let round = 0; round < 20_000; round += 1) {
    const options = Uint8Array.from({ length: 4 * below(11) }, () =>
      random() < 0.5 ? below(9) : below(256),
    )
    const payload = Uint8Array.from({ length: below(60) }, () => below(256))
    const family = random() < 0.5 ? 4 : 6
    pair.far.write(
      tcpSegment({
        from: NEAR[family],
        to: FAR[family],
        fromPort: 1000 + below(20),
        toPort: random() < 0.9 ? 80 : below(65_536),
        sequence: below(2) === 0 ? below(1000) : below(2 ** 32),
        acknowledgement: below(2 ** 32),
        flags: below(256),
        window: below(65_536),
        options,
        payload,
      }),
    )
    if (round % 1000 === 0) await pair.clock.advance(1000)
  }
  for (const protocol of [0, 1, 2, 17, 43, 44, 47, 50, 58, 60, 255]) {
    for (let round = 0; round < 2000; round += 1) {
      const family = random() < 0.5 ? 4 : 6
      const payload = Uint8Array.from({ length: below(100) }, () => below(256))
      pair.far.write(ipPacket(NEAR[family], FAR[family], protocol, payload))
    }
    await pair.clock.advance(1000)
  }
  await pair.clock.advance(120_000)
  assert.equal(pair.logged, [])
  assert.is(pair.far.counts().active, 0)
  assert.ok(await works(pair))
})

rule('drops what is not for it, and what pretends to come from it', async () => {
  using pair = newPair()
  const segment = {
    from: NEAR[4],
    to: FAR[4],
    fromPort: 1000,
    toPort: 80,
    sequence: 1,
    acknowledgement: 0,
    flags: 2,
    window: 1000,
  }
  pair.far.write(tcpSegment({ ...segment, to: parseIpAddress('100.64.0.9') }))
  pair.far.write(tcpSegment({ ...segment, to: parseIpAddress('255.255.255.255') }))
  pair.far.write(tcpSegment({ ...segment, from: FAR[4] }))
  pair.far.write(new Uint8Array(0))
  pair.far.write(Uint8Array.of(0x45))
  pair.far.write(addressBytes(FAR[6]))
  pair.far.write(new Uint8Array(70_000).fill(0x45))
  await pair.clock.advance(1000)
  assert.is(pair.back.sent, 0)
  pair.far.write(tcpSegment(segment))
  await pair.clock.advance(1000)
  assert.is(pair.back.sent, 1)
})

rule('lets a flood of SYNs take its share only, and forgets it', async () => {
  using pair = newPair({ delayMs: 1 })
  echo(pair)
  const memory = pair.far.counts().memoryBytes
  pair.back.cut(true)
  const flood = (last: number, count: number) => {
    for (let index = 0; index < count; index += 1)
      pair.far.write(
        tcpSegment({
          from: parseIpAddress(`100.64.1.${last}`),
          to: FAR[4],
          fromPort: 1024 + (index % 60_000),
          toPort: 80,
          sequence: index,
          acknowledgement: 0,
          flags: 2,
          window: 65_535,
        }),
      )
  }
  flood(1, 20_000)
  assert.is(pair.far.counts().active, 1024)
  for (let last = 2; last < 12; last += 1) flood(last, 3000)
  assert.is(pair.far.counts().active, 2048)
  await pair.clock.advance(30_000)
  assert.is(pair.far.counts().active, 0)
  assert.ok(pair.far.counts().memoryBytes <= memory + 4 * 1024 * 1024)
  pair.back.cut(false)
  assert.ok(await works(pair))
})

rule('holds no more connections than the limit, and serves again when some end', async () => {
  using pair = newPair({ delayMs: 1 })
  const accepted: TcpConnection[] = []
  pair.far.listenTcp(80, (connection) => {
    connection.on('error', () => {})
    accepted.push(connection)
  })
  const all = Array.from({ length: 2500 }, () => {
    const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
    connection.on('error', () => {})
    return connection
  })
  await pair.clock.advance(40_000)
  assert.is(accepted.length, 2048)
  for (const connection of all) connection.destroy()
  await pair.clock.advance(1000)
  assert.is(pair.far.counts().connections, 0)
  const again = pair.near.connectTcp({ address: FAR[4], port: 80 })
  again.on('error', () => {})
  await pair.until(() => accepted.length === 2049)
})

rule('believes a path to be narrower only for what it has sent, and never too narrow', async () => {
  for (const family of [4, 6] as const) {
    using pair = newPair({ delayMs: 5 })
    echo(pair)
    const connection = pair.near.connectTcp({ address: FAR[family], port: 80 })
    connection.on('error', () => {})
    const chunks: Buffer[] = []
    connection.on('data', (chunk: Buffer) => chunks.push(chunk))
    await pair.until(() => !connection.connecting)
    const router = NEAR[family]
    // The path carries 1,300 bytes: what is larger is lost, and answered.
    const send = pair.out.send
    let narrowest = 9000
    pair.out.send = (packet) => {
      if (packet.length > 1300) pair.near.write(tooBig(FAR[family], router, packet, 1300))
      else send(packet)
      if (packet.length > 500) narrowest = Math.min(narrowest, packet.length)
    }
    const sent = pattern(300_000)
    connection.end(sent)
    await pair.until(() => connection.destroyed, 20_000)
    assert.ok(Buffer.concat(chunks).equals(sent))
    assert.ok(narrowest > 500)
  }
})

rule('ignores forged news of a narrow path', async () => {
  using pair = newPair({ delayMs: 5 })
  echo(pair)
  const connection = pair.near.connectTcp({ address: FAR[4], port: 80 })
  connection.on('error', () => {})
  connection.resume()
  await pair.until(() => !connection.connecting)
  const forged = tcpSegment({
    from: NEAR[4],
    to: FAR[4],
    fromPort: connection.localPort,
    toPort: 80,
    sequence: 12_345,
    acknowledgement: 0,
    flags: 16,
    window: 0,
  })
  pair.near.write(tooBig(FAR[4], NEAR[4], forged, 600))
  let largest = 0
  const send = pair.out.send
  pair.out.send = (packet) => {
    largest = Math.max(largest, packet.length)
    send(packet)
  }
  connection.end(pattern(100_000))
  await pair.until(() => connection.destroyed)
  assert.is(largest, 1420)
})

rule.run()
