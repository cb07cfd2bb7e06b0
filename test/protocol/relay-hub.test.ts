import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MEMBER_STREAMS } from '../../protocol/relay-hub.ts'
import { PINGED_MS } from '../../protocol/relay-udp-session.ts'
import { relayScene, UDP_PORT } from '../support/relay-scene.ts'
import { transportMessage } from '../support/wireguard-message.ts'

const datagram = transportMessage('hello')
const NOTHING = new Uint8Array(0)
const rule = suite('relay hub: streams (SPEC §12)')

rule('passes on WireGuard datagrams inside an organization, with the sender in them', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  a.send({ peer: b.address, datagram })
  assert.equal(b.streamed(), [{ peer: a.address, datagram }])
  const elsewhere = join(2, 'umbrella')
  elsewhere.send({ peer: a.address, datagram })
  assert.equal(elsewhere.streamed(), [{ peer: a.address, datagram: NOTHING }])
  assert.equal(a.streamed(), [])
})

rule('drops what is not WireGuard, and tells whose it was once a minute', async () => {
  const { join, told, clock } = relayScene()
  const [a, b] = [join(1), join(2)]
  for (let n = 0; n < 10; n += 1)
    a.send({ peer: b.address, datagram: Buffer.from('GET / HTTP/1.1') })
  assert.equal(b.streamed(), [])
  assert.equal(told, [{ member: a.address, reason: 'not-wireguard', datagrams: 1, bytes: 14 }])
  await clock.advance(60_000)
  a.send({ peer: b.address, datagram: Buffer.from('GET / HTTP/1.1') })
  assert.equal(told.slice(1), [
    { member: a.address, reason: 'not-wireguard', datagrams: 10, bytes: 140 },
  ])
})

rule('passes on nothing where it has no such role, and says so', () => {
  const { join } = relayScene({ forOthers: () => false })
  const [a, b] = [join(1), join(2)]
  a.send({ peer: b.address, datagram })
  assert.equal(a.streamed(), [{ peer: b.address, datagram: NOTHING }])
  assert.equal([b.streamed(), a.controls()], [[], []])
})

rule('answers pings by the stream', () => {
  const { join, zero } = relayScene()
  const a = join(1)
  const token = new Uint8Array(8).fill(5)
  a.say({ kind: 'ping', token, echo: zero, length: 17 })
  assert.equal(a.controls().at(-1), { kind: 'pong', token, challenge: zero, length: 17 })
})

rule(
  'does not read for a while the stream of a member that sends too much, and names it',
  async () => {
    const { join, told, clock } = relayScene({ rate: { total: 1e6, member: 5e5 } })
    const [a, b, c] = [join(1), join(2), join(3)]
    const large = transportMessage(new Uint8Array(8000))
    for (let n = 0; n < 200; n += 1) a.send({ peer: b.address, datagram: large })
    assert.ok(b.streamed().length < 60, `${b.streamed().length} of 200`)
    assert.ok(a.isPaused())
    c.send({ peer: b.address, datagram })
    assert.is(b.streamed().at(-1)?.peer, c.address)
    await clock.advance(60_000)
    assert.not.ok(a.isPaused() || c.isPaused())
    for (let n = 0; n < 200; n += 1) a.send({ peer: b.address, datagram: large })
    assert.equal(
      [...new Set(told.map(({ member, reason }) => `${member} ${reason}`))],
      [`${a.address} over-rate`],
    )
    assert.is(told.length, 2)
  },
)

rule('does not let one organization starve another', () => {
  const { join } = relayScene({ rate: { total: 1e6, member: 1e6 } })
  const [a, b] = [join(1), join(2)]
  const [c, d] = [join(3, 'umbrella'), join(4, 'umbrella')]
  const large = transportMessage(new Uint8Array(8000))
  for (let n = 0; n < 300; n += 1) a.send({ peer: b.address, datagram: large })
  for (let n = 0; n < 20; n += 1) c.send({ peer: d.address, datagram })
  assert.is(d.streamed().length, 20)
})

rule('ends the oldest of too many streams of a member, which may be dead, for the newest', () => {
  const { join } = relayScene()
  const a = join(2)
  const joined = Array.from({ length: MEMBER_STREAMS + 2 }, () => join(1))
  assert.equal(joined.map((each) => each.isEnded()).lastIndexOf(true), 1)
  a.send({ peer: joined[0]?.address ?? '', datagram })
  assert.is(joined.at(-1)?.streamed().length, 1)
})

const udp = suite('relay hub: UDP (SPEC §12.4)')

udp('sends nothing to the old address once a newer ping came from another', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  b.useUdp('on', 'home')
  a.send({ peer: b.address, datagram })
  assert.is(b.received().length, 1)
  b.ping('abroad')
  a.send({ peer: b.address, datagram })
  assert.is(b.received().length, 1)
  assert.is(b.streamed().length, 1)
})

udp('offers a session and a key of its own to each stream', () => {
  const { join, hub } = relayScene()
  const [a, b, again] = [join(1), join(2), join(1)]
  assert.is(a.offer().port, UDP_PORT)
  const texts = [a, b, again].map((each) => Buffer.from(each.offer().key).toString('hex'))
  assert.is(new Set(texts).size, 3)
  assert.is(hub.sessions, 3)
  for (const each of [a, b, again]) each.leave()
  assert.is(hub.sessions, 0)
})

udp('carries datagrams both ways by UDP once the address is proved and the client wants it', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  a.useUdp()
  b.useUdp()
  a.sendUdp({ peer: b.address, datagram })
  b.sendUdp({ peer: a.address, datagram })
  assert.equal(b.received(), [{ to: 'home 2', peer: a.address }])
  assert.equal(a.received(), [{ to: 'home 1', peer: b.address }])
  assert.equal([a.streamed(), b.streamed()], [[], []])
})

udp('uses both ways when the client asks for it, and the stream alone when it says so', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  b.useUdp('both')
  a.send({ peer: b.address, datagram })
  assert.equal([b.received().length, b.streamed().length], [1, 1])
  b.say({ kind: 'udp-use', use: 'off' })
  a.send({ peer: b.address, datagram })
  assert.equal([b.received().length, b.streamed().length], [1, 2])
})

udp('goes back to the stream when the client has not pinged for a while', async () => {
  const { join, clock } = relayScene()
  const [a, b] = [join(1), join(2)]
  b.useUdp()
  await clock.advance(PINGED_MS)
  a.send({ peer: b.address, datagram })
  assert.equal([b.received().length, b.streamed().length], [0, 1])
})

udp('sends larger datagrams than were proved by the stream', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  b.useUdp()
  a.send({ peer: b.address, datagram: transportMessage(new Uint8Array(1437)) })
  assert.equal([b.received().length, b.streamed().length], [0, 1])
})

udp('sends nothing but pongs to an address that has not echoed its challenge', () => {
  const { join, sent, zero } = relayScene()
  const [a, b] = [join(1), join(2)]
  b.say({ kind: 'udp-use', use: 'on' })
  b.ping('victim')
  b.ping('victim', new Uint8Array(8).fill(1))
  const pong = b.ping('home')
  // A challenge sent to one address proves no other.
  b.ping('victim', pong.kind === 'pong' ? pong.challenge : zero)
  for (let n = 0; n < 50; n += 1) a.send({ peer: b.address, datagram })
  assert.equal([b.received().length, b.streamed().length], [0, 50])
  assert.ok(sent.every(({ bytes }) => bytes.length === 57))
})

udp('answers with no byte more than it was asked with, whatever the padding', () => {
  const { join, sent } = relayScene()
  const a = join(1)
  for (const length of [17, 18, 500, 1452]) {
    a.ping('home', new Uint8Array(8), length)
    assert.is(sent.at(-1)?.bytes.length, length + 40)
  }
})

udp('gives no answer to what is forged, cut short, changed, replayed, or of no session', () => {
  const { join, hub, sent } = relayScene()
  const [a, b] = [join(1), join(2)]
  const good = a.seal({ peer: b.address, datagram })
  const changed = Uint8Array.from(good)
  changed[20] = (changed[20] ?? 0) ^ 1
  a.arrive(changed)
  for (let length = 0; length < good.length; length += 1) a.arrive(good.subarray(0, length))
  const forged = Uint8Array.from(b.seal({ peer: a.address, datagram }))
  forged.set(a.offer().session, 1)
  a.arrive(forged)
  const stranger = Uint8Array.from(good)
  stranger.set(new Uint8Array(8).fill(255), 1)
  a.arrive(stranger)
  assert.equal([b.streamed(), sent], [[], []])
  a.arrive(good)
  for (let n = 0; n < 10; n += 1) a.arrive(good, 'elsewhere')
  assert.equal([b.streamed().length, sent], [1, []])
  a.leave()
  a.arrive(a.seal({ peer: b.address, datagram }))
  assert.equal([b.streamed().length, sent, hub.sessions], [1, [], 1])
})

udp('carries nothing to another organization', () => {
  const { join } = relayScene()
  const [a, spy] = [join(1), join(9, 'umbrella')]
  a.useUdp()
  spy.useUdp()
  spy.sendUdp({ peer: a.address, datagram })
  assert.equal([a.received(), a.streamed()], [[], []])
  assert.equal(spy.received(), [{ to: 'home 9', peer: a.address }])
})

udp(
  'leaves an address at once that the client sends from no more, and asks it to prove the new one',
  () => {
    const { join } = relayScene()
    const [a, b] = [join(1), join(2)]
    b.useUdp('on', 'home')
    const late = b.seal({ peer: a.address, datagram })
    b.sendUdp({ peer: a.address, datagram }, 'abroad')
    a.send({ peer: b.address, datagram })
    assert.equal([b.received().length, b.streamed().length], [0, 1])
    const offers = b.controls().filter(({ kind }) => kind === 'udp-offer')
    assert.equal(offers[1], offers[0])
    b.useUdp('on', 'abroad')
    // What is late on the old way moves nobody back.
    b.arrive(late, 'home')
    a.send({ peer: b.address, datagram })
    assert.equal(b.received(), [{ to: 'abroad', peer: a.address }])
  },
)

udp(
  'takes the session from a member that sends twice its rate, for a minute, and gives it another',
  async () => {
    const { join, hub, told, clock } = relayScene({ rate: { total: 1e6, member: 1e6 } })
    const [flood, b, calm] = [join(1), join(2), join(3)]
    for (const each of [flood, b, calm]) each.useUdp()
    const first = flood.offer()
    const large = transportMessage(new Uint8Array(1400))
    const late = flood.seal({ peer: b.address, datagram })
    for (let n = 0; n < 1500; n += 1) flood.sendUdp({ peer: b.address, datagram: large })
    assert.is(flood.offer().port, 0)
    assert.is(hub.sessions, 2)
    const before = b.received().length
    flood.arrive(late)
    calm.sendUdp({ peer: b.address, datagram })
    assert.is(b.received().length, before + 1)
    assert.equal(
      told.map(({ member, reason }) => [member, reason]),
      [[flood.address, 'over-rate']],
    )
    await clock.advance(60_000)
    assert.is(flood.offer().port, UDP_PORT)
    assert.not.equal(flood.offer().session, first.session)
  },
)

udp('ends a stream, not the relay, on control that can not be', () => {
  const { join } = relayScene()
  const [a, b] = [join(1), join(2)]
  assert.throws(() => a.send({ peer: '00'.repeat(9), datagram: Uint8Array.of(1, 2) }))
  a.send({ peer: '00'.repeat(9), datagram: Uint8Array.of(99, 2) })
  a.sendUdp({ peer: '00'.repeat(9), datagram: Uint8Array.of(1, 2) })
  b.send({ peer: a.address, datagram })
  assert.is(a.streamed().length, 1)
})

rule.run()
udp(
  'answers so many pings a second of a member, by either way, and names who sends more',
  async () => {
    const { join, told, sent, clock, zero } = relayScene()
    const a = join(1)
    const ping = { kind: 'ping', token: new Uint8Array(8), echo: zero, length: 1452 } as const
    for (let n = 0; n < 500; n += 1) a.say(ping)
    assert.is(a.controls().filter(({ kind }) => kind === 'pong').length, 32)
    const frame = { peer: '00'.repeat(9), datagram: Uint8Array.of(1, ...new Uint8Array(1451)) }
    for (let n = 0; n < 500; n += 1) a.sendUdp(frame, 'victim')
    assert.is(sent.length, 0)
    assert.equal(
      told.map(({ member, reason }) => `${member} ${reason}`),
      [`${a.address} pings`],
    )
    await clock.advance(1000)
    for (let n = 0; n < 500; n += 1) a.sendUdp(frame, 'victim')
    const bytes = sent.map((each) => each.bytes.length)
    assert.is(bytes.length, 8)
    assert.ok(bytes.every((each) => each <= a.seal(frame).length))
    join(2).say(ping)
    assert.is(told.length, 1, 'another is answered')
  },
)

udp.run()
