/** Sessions, timers and limits of two machines, in virtual time (whitepaper §2, §5). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat } from '../../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import { introduce, kinds, packetTo, say, VirtualNet } from './virtual-net.ts'

const rule = suite('WireGuard in the process')

function pair(options: ConstructorParameters<typeof VirtualNet>[0] = {}) {
  const net = new VirtualNet(options)
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b)
  return {
    net,
    a,
    b,
    peer: a.machine.peer(b.keys.publicKey),
    peerOfB: b.machine.peer(a.keys.publicKey),
  }
}

rule('makes a session for the first packet, and delivers it', () => {
  const { net, a, b, peer, peerOfB } = pair()
  assert.is(say(a, b), true)
  net.run(100)
  assert.equal(kinds(net), ['host 1 initiation', 'host 2 response', 'host 1 data'])
  assert.equal(b.delivered, [packetTo('10.0.0.1', '10.0.0.2')])
  const now = Math.floor(1_767_268_800)
  assert.equal(peer?.counters, { latestHandshake: now, receivedBytes: 92, sentBytes: 148 + 64 })
  assert.equal(peerOfB?.counters, { latestHandshake: now, receivedBytes: 148 + 64, sentBytes: 92 })
})

rule('keeps 128 packets while a handshake runs, the newest ones, in their order', () => {
  const { net, a, b } = pair()
  for (let number = 0; number < 200; number += 1) say(a, b, Uint8Array.of(number))
  net.run(100)
  assert.equal(
    b.delivered.map((packet) => packet.at(-1)),
    Array.from({ length: 128 }, (_, index) => index + 72),
  )
})

rule('confirms a session that carries no packet, and lets the responder use it only then', () => {
  const { net, a, b } = pair()
  net.isCut = ({ datagram }) => datagram[0] === 4
  say(a, b)
  net.run(50)
  say(b, a)
  net.run(50)
  assert.equal(kinds(net), ['host 1 initiation', 'host 2 response', 'host 1 data'])
  net.isCut = () => false
  say(a, b)
  net.run(50)
  assert.equal(kinds(net, 3), ['host 1 data', 'host 2 data'])
  assert.is(a.delivered.length, 1)
})

rule('takes late packets of the previous session, and none of the one before', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(1000)
  const held: Uint8Array[] = []
  const hold = (): void => {
    net.isCut = ({ datagram }) => datagram[0] === 4 && held.push(datagram) > 0
    say(a, b, Uint8Array.of(held.length))
    net.isCut = () => false
  }
  hold()
  net.run(121_000)
  say(a, b)
  net.run(1000)
  const before = b.delivered.length
  b.machine.incoming(held[0] ?? new Uint8Array(), a.endpoint)
  assert.is(b.delivered.length, before + 1)
  hold()
  for (let round = 0; round < 2; round += 1) {
    net.run(121_000)
    say(a, b)
    net.run(1000)
  }
  const later = b.delivered.length
  b.machine.incoming(held[1] ?? new Uint8Array(), a.endpoint)
  assert.is(b.delivered.length, later)
})

rule('takes each packet once, whatever their order', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(1000)
  const held: Uint8Array[] = []
  net.isCut = ({ datagram }) => held.push(datagram) > 0
  for (let number = 0; number < 20; number += 1) say(a, b, Uint8Array.of(number))
  const again = held.toReversed()
  for (const datagram of [...again, ...again]) {
    b.machine.incoming(Uint8Array.from(datagram), a.endpoint)
  }
  assert.is(b.delivered.length, 21)
})

rule(
  'sends a packet every so many seconds where persistent keepalive is on, at once the first',
  () => {
    const { net, a, b } = pair()
    a.machine.setPeer(b.keys.publicKey, { persistentKeepalive: 25 })
    net.run(100)
    assert.equal(kinds(net), ['host 1 initiation', 'host 2 response', 'host 1 keepalive'])
    net.run(100_000)
    assert.equal(kinds(net, 3), Array(4).fill('host 1 keepalive'))
    a.machine.setPeer(b.keys.publicKey, { persistentKeepalive: 0 })
    net.run(100_000)
    assert.is(net.sent.length, 7)
  },
)

rule('sends to where the peer’s last authentic packet came from', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(100)
  a.endpoint = parseEndpoint('[2001:db8::7]:1234')
  say(a, b)
  net.run(100)
  assert.equal(b.machine.peer(a.keys.publicKey)?.endpoint, a.endpoint)
  say(b, a)
  net.run(100)
  assert.is(a.delivered.length, 1)
})

rule('drops what the peer may not send, and what its header does not fit', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(100)
  const good = packetTo('10.0.0.1', '10.0.0.2')
  const bad = [
    packetTo('10.0.0.3', '10.0.0.2'),
    good.with(3, 200),
    good.with(2, 1),
    good.with(3, 19),
    good.subarray(0, 15),
    good.with(0, 0x55),
    Uint8Array.of(0x60),
  ]
  const { length } = b.delivered
  const peer = a.machine.peer(b.keys.publicKey)
  for (const packet of bad) peer?.send(packet, net.nowMs)
  net.run(100)
  assert.is(b.delivered.length, length)
  peer?.send(good, net.nowMs)
  net.run(100)
  assert.equal(b.delivered.at(-1), good)
})

rule('delivers a packet without what it was filled up with, and fills none beyond the MTU', () => {
  const { net, a, b } = pair()
  a.machine.setMtu(1420)
  say(a, b)
  net.run(100)
  const filled = (bytes: number): number => {
    const { length } = net.sent
    say(a, b, new Uint8Array(bytes - 20).fill(7))
    net.run(100)
    assert.is(b.delivered.at(-1)?.length, bytes)
    return (net.sent[length]?.datagram.length ?? 0) - 32
  }
  assert.equal([21, 32, 33, 1407, 1409, 1420].map(filled), [32, 32, 48, 1408, 1420, 1420])
})

rule('chooses the peer by the longest prefix of the destination, of both families', () => {
  const { net, a, b } = pair()
  const c = net.host(3)
  introduce(a, c)
  a.machine.allow(c.keys.publicKey, [parsePrefix('10.0.0.0/8'), parsePrefix('fd00::/8')])
  a.machine.allow(b.keys.publicKey, [parsePrefix('fd00:1::/32')])
  const sentTo = (packet: Uint8Array): string | undefined => {
    const { length } = net.sent
    assert.is(a.machine.outgoing(packet), length >= 0)
    net.run(6000)
    return net.sent[length]?.to.address
  }
  const ipv6 = (second: number): Uint8Array =>
    concat(
      Uint8Array.of(0x60, 0, 0, 0, 0, 0, 17, 64),
      new Uint8Array(16),
      Uint8Array.of(0xfd, 0, 0, second),
      new Uint8Array(12),
    )
  assert.is(sentTo(packetTo('10.0.0.1', '10.0.0.2')), '192.0.2.2')
  assert.is(sentTo(packetTo('10.0.0.1', '10.7.7.7')), '192.0.2.3')
  assert.is(sentTo(ipv6(1)), '192.0.2.2')
  assert.is(sentTo(ipv6(2)), '192.0.2.3')
  assert.is(a.machine.outgoing(packetTo('10.0.0.1', '11.0.0.1')), false)
})

rule('needs the same preshared key on both sides', () => {
  const net = new VirtualNet()
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b, { presharedKey: new Uint8Array(32).fill(7) })
  say(a, b)
  net.run(100)
  assert.is(b.delivered.length, 1)
  const c = net.host(3)
  introduce(a, c)
  c.machine.setPeer(a.keys.publicKey, { presharedKey: new Uint8Array(32).fill(8) })
  say(a, c)
  net.run(20_000)
  assert.is(c.delivered.length, 0)
  assert.throws(
    () => a.machine.setPeer(c.keys.publicKey, { presharedKey: new Uint8Array(31) }),
    /preshared key has 31 bytes, want 32/,
  )
})

rule('finds a session though both initiate at once', () => {
  const { net, a, b } = pair()
  say(a, b)
  say(b, a)
  net.run(20_000)
  assert.equal([a.delivered.length, b.delivered.length], [1, 1])
})

rule('makes a session at once with a peer that restarted, and removed ones get none', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(1000)
  a.machine.removePeer(b.keys.publicKey)
  assert.is(say(a, b), false)
  assert.is(a.machine.indicesInUse, 0)
  say(b, a)
  net.run(1000)
  assert.is(a.delivered.length, 0)
  a.machine.setPeer(b.keys.publicKey, { endpoint: b.endpoint })
  a.machine.allow(b.keys.publicKey, [parsePrefix(b.overlay)])
  say(a, b)
  net.run(100)
  assert.is(b.delivered.length, 2)
})

rule('ends all sessions with its key, and makes new ones for keepalives', () => {
  const { net, a, b } = pair()
  a.machine.setPeer(b.keys.publicKey, { persistentKeepalive: 25 })
  net.run(1000)
  const c = net.host(3)
  const { length } = net.sent
  a.machine.setPrivateKey(c.keys)
  b.machine.setPeer(c.keys.publicKey, {})
  net.run(1000)
  assert.equal(kinds(net, length), ['host 1 initiation', 'host 2 response', 'host 1 keepalive'])
})

rule('begins when its key comes after its peers', () => {
  const net = new VirtualNet()
  const [a, b] = [net.host(1), net.host(2)]
  a.machine.end()
  assert.is(say(a, b), false)
  introduce(a, b, { persistentKeepalive: 25 })
  a.machine.setPrivateKey(a.keys)
  net.run(20_000)
  assert.ok(kinds(net).includes('host 1 keepalive'))
})

rule.run()
