/** What is under way from the holder before, in virtual time (SPEC §8.8). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../../protocol/address.ts'
import { introduce, packetTo, say, VirtualNet } from './virtual-net.ts'

const rule = suite('late packets of WireGuard in the process')

/** Three devices: what was a's is b's from now on; c hears both. */
function handOver() {
  const net = new VirtualNet()
  const [a, b, c] = [net.host(1), net.host(2), net.host(3)]
  for (const other of [a, b]) introduce(other, c)
  const moving = parsePrefix('10.99.0.1/32')
  c.machine.allow(a.keys.publicKey, [moving])
  const hears = (from: typeof a, source: string): boolean => {
    const before = c.delivered.length
    from.machine.outgoing(packetTo(source, c.overlay))
    net.run(20)
    return c.delivered.length > before
  }
  for (const other of [a, b]) assert.is(hears(other, other.overlay), true)
  assert.equal([hears(a, '10.99.0.1'), hears(b, '10.99.0.1')], [true, false])
  c.machine.allow(b.keys.publicKey, [moving])
  return { net, a, b, c, moving, hears }
}

rule('hears the holder before for a while where it is told to (SPEC §8.8)', () => {
  const { net, a, b, c, moving, hears } = handOver()
  assert.equal([hears(a, '10.99.0.1'), hears(b, '10.99.0.1')], [false, true])
  c.machine.allowLate(a.keys.publicKey, [moving], 1000)
  assert.equal([hears(a, '10.99.0.1'), hears(b, '10.99.0.1')], [true, true])
  assert.equal(
    [hears(a, '10.99.0.2'), hears(a, b.overlay), hears(b, a.overlay)],
    Array(3).fill(false),
  )
  // What goes there goes to the new holder alone.
  const since = net.sent.length
  c.machine.outgoing(packetTo(c.overlay, '10.99.0.1'))
  net.run(20)
  assert.equal(
    net.sent.slice(since).map(({ to }) => to),
    [b.endpoint],
  )
  net.run(1000)
  assert.equal([hears(a, '10.99.0.1'), hears(b, '10.99.0.1')], [false, true])
})

rule('hears the holder before no more once it is removed, though it comes back', () => {
  const { net, a, c, moving, hears } = handOver()
  c.machine.allowLate(a.keys.publicKey, [moving], 1000)
  c.machine.removePeer(a.keys.publicKey)
  assert.is(hears(a, '10.99.0.1'), false)
  c.machine.allowLate(a.keys.publicKey, [moving], 1000)
  introduce(a, c)
  say(c, a)
  net.run(100)
  assert.equal([hears(a, a.overlay), hears(a, '10.99.0.1')], [true, false])
})

rule('hears the holder before no more once the prefix is nobody’s, or it is told so', () => {
  for (const end of ['nobody', 'told'] as const) {
    const { a, b, c, moving, hears } = handOver()
    c.machine.allowLate(a.keys.publicKey, [moving], 1000)
    if (end === 'nobody') c.machine.disallow(b.keys.publicKey, [moving])
    else c.machine.allowLate(a.keys.publicKey, [], 1000)
    assert.is(hears(a, '10.99.0.1'), false)
  }
})

rule.run()
