/** What strangers, and who only listens, can do to a machine: nothing but ask for a cookie under load. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MacWriter } from '../../../../agent/tunnel/userspace/cookies.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'
import { introduce, kinds, say, type VirtualHost, VirtualNet } from './virtual-net.ts'

const rule = suite('WireGuard against strangers')
const STRANGER = parseEndpoint('203.0.113.9:4444')

function talking() {
  const net = new VirtualNet({ seed: 5 })
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b)
  say(a, b)
  net.run(100)
  return { net, a, b }
}

/** All that a machine shows of its state. */
function stateOf({ machine, delivered }: VirtualHost): unknown {
  return {
    peers: [...machine.peers()].map(({ endpoint, counters }) => ({ endpoint, ...counters })),
    delivered: delivered.length,
    indices: machine.indicesInUse,
    nextMs: machine.nextMs(),
  }
}

rule('neither answers, changes nor fails when bits flip, bytes are missing or too many', () => {
  const { net, a, b } = talking()
  const genuine = net.sent.map(({ datagram }) => datagram)
  say(a, b)
  const last = net.sent.at(-1)?.datagram ?? new Uint8Array()
  const before = [stateOf(a), stateOf(b)]
  const { length } = net.sent
  const offer = (datagram: Uint8Array): void => {
    for (const { machine } of [a, b]) machine.incoming(datagram, STRANGER)
  }
  for (const message of [...genuine, last]) {
    for (let bit = 0; bit < message.length * 8; bit += 1) {
      const flipped = Uint8Array.from(message)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      // MAC2 counts under load alone, and whoever replays all the rest is told below.
      const isMac2 = message.length !== last.length && bit >> 3 >= message.length - 16
      if (!isMac2) offer(flipped)
    }
    for (let bytes = 0; bytes < message.length; bytes += 1) offer(message.slice(0, bytes))
    offer(Uint8Array.from([...message, 0]))
  }
  assert.equal([stateOf(a), stateOf(b)], before)
  assert.is(net.sent.length, length)
  b.machine.incoming(last, a.endpoint)
  assert.is(b.delivered.length, 2)
})

rule('neither answers nor changes when what passed is repeated, from wherever', () => {
  const { net, a, b } = talking()
  net.run(1000)
  const passed = net.sent.map(({ datagram }) => datagram)
  const before = [stateOf(a), stateOf(b)]
  for (const datagram of [...passed, ...passed]) {
    for (const { machine } of [a, b]) machine.incoming(Uint8Array.from(datagram), STRANGER)
    net.run(25)
  }
  assert.equal([stateOf(a), stateOf(b)], before)
  assert.is(net.sent.length, passed.length)
})

rule('neither answers nor changes for bytes of any kind', () => {
  const { net, a, b } = talking()
  const before = [stateOf(a), stateOf(b)]
  const { length } = net.sent
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = [148, 92, 64, 32, 48, 1452, Math.floor(net.random() * 200)][round % 7] ?? 0
    const datagram = net.randomBytes(bytes)
    if (round % 3 > 0) datagram.set([Math.floor(net.random() * 6), 0, 0, 0].slice(0, bytes))
    a.machine.incoming(datagram, STRANGER)
  }
  assert.equal([stateOf(a), stateOf(b)], before)
  assert.is(net.sent.length, length)
})

rule('has no ear for a key that it does not know, nor for a packet to another’s index', () => {
  const { net, a, b } = talking()
  const c = net.host(3)
  introduce(c, a)
  a.machine.removePeer(c.keys.publicKey)
  say(c, a)
  net.run(1000)
  assert.not.ok(kinds(net).includes('host 1 cookie'))
  assert.is(kinds(net).filter((kind) => kind === 'host 1 response').length, 0)
  introduce(c, a)
  say(c, a)
  net.run(10_000)
  assert.is(a.delivered.length, 2)
  const data = net.sent.findLast(({ from, datagram }) => from === c && datagram[0] === 4)?.datagram
  const own = net.sent.find(({ from, datagram }) => from === a && datagram[0] === 4)?.datagram
  if (data === undefined || own === undefined) throw new Error('nothing was said')
  const crossed = Uint8Array.from(data)
  crossed.set(own.subarray(4, 8), 4)
  const before = stateOf(b)
  b.machine.incoming(crossed, STRANGER)
  assert.equal(stateOf(b), before)
})

/** Initiations with a right MAC1, which whoever knows the public key can make. */
function flood(net: VirtualNet, victim: VirtualHost, count: number, from = STRANGER): number {
  const macs = new MacWriter(victim.keys.publicKey)
  const before = net.sent.length
  for (let index = 0; index < count; index += 1) {
    const message = net.randomBytes(148)
    message.set([1, 0, 0, 0])
    macs.write(message, net.nowMs)
    victim.machine.incoming(message, from)
  }
  return net.sent.length - before
}

rule(
  'asks for a cookie under load, takes part with one, and asks no more when the load is gone',
  () => {
    const net = new VirtualNet({ seed: 6 })
    const [a, b] = [net.host(1), net.host(2)]
    introduce(a, b)
    assert.is(flood(net, b, 64), 0)
    assert.is(flood(net, b, 100), 100)
    say(a, b)
    net.run(10)
    assert.equal(kinds(net).slice(-2), ['host 1 initiation', 'host 2 cookie'])
    for (let second = 0; second < 12; second += 1) {
      net.run(500)
      flood(net, b, 100)
    }
    assert.is(b.delivered.length, 1)
    net.run(300_000)
    assert.is(flood(net, b, 1), 0)
  },
)

rule('takes no cookie of another address, of another message, or that is old', () => {
  const net = new VirtualNet({ seed: 7 })
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b)
  const keepLoad = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 500) {
      flood(net, b, 100)
      net.run(500)
    }
  }
  flood(net, b, 100)
  say(a, b)
  keepLoad(1000)
  const cookie = net.sent.findLast(({ datagram, to }) => datagram[0] === 3 && to === a.endpoint)
  assert.ok(cookie)
  a.machine.incoming(cookie.datagram, b.endpoint)
  a.endpoint = parseEndpoint('192.0.2.1:999')
  keepLoad(4000)
  assert.is(kinds(net).filter((kind) => kind === 'host 2 response').length, 0)
  keepLoad(6000)
  assert.is(b.delivered.length, 1)
})

rule('answers under load at most 20 messages a second of one address that has a cookie', () => {
  const net = new VirtualNet({ seed: 8 })
  const b = net.host(2)
  flood(net, b, 100)
  const macs = new MacWriter(b.keys.publicKey)
  const message = (): Uint8Array => {
    const made = net.randomBytes(148)
    made.set([1, 0, 0, 0])
    macs.write(made, net.nowMs)
    return made
  }
  b.machine.incoming(message(), STRANGER)
  assert.is(macs.takeReply(net.sent.at(-1)?.datagram ?? new Uint8Array(64), net.nowMs), true)
  const before = net.sent.length
  for (let index = 0; index < 200; index += 1) b.machine.incoming(message(), STRANGER)
  assert.is(net.sent.length, before, 'with a cookie it is never asked again')
})

rule('remembers the greatest timestamp: an initiation that was held back is not answered', () => {
  const { net, a, b } = talking()
  const held: Uint8Array[] = []
  net.run(121_000)
  net.isCut = ({ datagram }) => datagram[0] === 1 && held.push(datagram) > 0
  say(a, b)
  net.isCut = () => false
  net.run(10_000)
  const { length } = net.sent
  const before = stateOf(b)
  for (const datagram of held) b.machine.incoming(datagram, a.endpoint)
  assert.ok(held.length > 0)
  assert.equal(stateOf(b), before)
  assert.is(net.sent.length, length)
})

rule.run()
