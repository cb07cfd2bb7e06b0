/** Timers of two machines, in virtual time (whitepaper §6). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { introduce, kinds, say, VirtualNet } from './virtual-net.ts'

const rule = suite('WireGuard’s timers')
const MINUTE_MS = 60_000

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

rule('repeats an initiation every 5 s and up to a third more, for 90 s, and then gives up', () => {
  const { net, a, b } = pair()
  net.isCut = () => true
  say(a, b)
  net.run(10 * MINUTE_MS)
  const times = net.sent.map(({ atMs }) => atMs)
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0))
  assert.ok(
    gaps.every((gap) => gap >= 5000 && gap <= 5333),
    String(gaps),
  )
  assert.ok(new Set(gaps).size > 10, 'the jitter is drawn anew')
  assert.ok(times.length >= 17 && times.length <= 19, String(times.length))
  net.isCut = () => false
  say(a, b)
  net.run(100)
  assert.is(b.delivered.length, 1)
})

rule('answers data with an empty packet after 10 s of silence, once', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(9_900)
  assert.is(net.sent.length, 3)
  net.run(60_000)
  assert.equal(kinds(net, 3), ['host 2 keepalive'])
})

rule('makes a new session when 15 s after data nothing came', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(11_000)
  net.isCut = () => true
  say(a, b)
  net.run(15_000)
  assert.equal(
    kinds(net, 4).filter((kind) => kind.startsWith('host 1')),
    ['host 1 data'],
  )
  net.run(400)
  assert.is(kinds(net).at(-1), 'host 1 initiation')
})

rule('renews a session after 120 s when its initiator sends, not when its responder does', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(119_000)
  say(a, b)
  net.run(500)
  assert.is(kinds(net).filter((kind) => kind.endsWith('initiation')).length, 1)
  net.run(1_000)
  say(b, a)
  net.run(100)
  assert.is(kinds(net).filter((kind) => kind.endsWith('initiation')).length, 1)
  say(a, b)
  net.run(100)
  assert.is(kinds(net).filter((kind) => kind === 'host 1 initiation').length, 2)
  assert.is(kinds(net).filter((kind) => kind === 'host 2 initiation').length, 0)
  assert.is(b.delivered.length, 3)
})

rule('renews a session after 165 s when its initiator only receives', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(164_000)
  say(b, a)
  net.run(100)
  assert.is(kinds(net).filter((kind) => kind.endsWith('initiation')).length, 1)
  net.run(1_500)
  say(b, a)
  net.run(100)
  assert.is(kinds(net).filter((kind) => kind === 'host 1 initiation').length, 2)
})

rule('neither sends nor takes with a session of 180 s', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(1000)
  const [late] = net.sent.filter(({ datagram }) => datagram[0] === 4)
  assert.ok(late)
  net.run(180_000)
  say(b, a)
  net.run(3)
  assert.is(kinds(net).at(-1), 'host 2 initiation')
})

rule('forgets all keys 540 s after the last session was made', () => {
  const { net, a, b } = pair()
  say(a, b)
  net.run(545_000)
  assert.is(a.machine.indicesInUse, 0)
  assert.is(b.machine.indicesInUse, 0)
  say(b, a)
  net.run(100)
  assert.is(a.delivered.length, 1)
})

rule.run()
