/** Packets larger than a path: cut where they may be, their sender told where not. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ipLayout } from '../../../../agent/tunnel/userspace/ip-packet.ts'
import { fitting, internetChecksum } from '../../../../agent/tunnel/userspace/too-big.ts'
import { concat } from '../../../../crypto/bytes.ts'
import { introduce, packetTo, say, VirtualNet } from './virtual-net.ts'

const rule = suite('packets larger than the path')

function fit(packet: Uint8Array, mtu: number) {
  const layout = ipLayout(packet)
  if (layout === undefined) throw new Error('no packet')
  return fitting(packet, layout, mtu)
}

function payload(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => (index * 7) & 255)
}

rule('cuts an IPv4 packet into pieces that make the whole again (RFC 791)', () => {
  const sizes = fc.record({
    bytes: fc.integer({ min: 1, max: 9000 }),
    mtu: fc.integer({ min: 68, max: 1500 }),
  })
  fc.assert(
    fc.property(sizes, ({ bytes, mtu }) => {
      const data = payload(bytes)
      const result = fit(packetTo('10.0.0.1', '10.0.0.2', data), mtu)
      assert.is(result.kind, 'send')
      if (result.kind !== 'send') return
      const whole = new Uint8Array(bytes)
      for (const [index, piece] of result.packets.entries()) {
        const view = new DataView(piece.buffer, piece.byteOffset)
        assert.ok(piece.length <= mtu)
        assert.is(view.getUint16(2), piece.length)
        const isLast = index === result.packets.length - 1
        assert.is((view.getUint16(6) & 0x2000) !== 0, !isLast)
        if (result.packets.length > 1) assert.is(internetChecksum(piece.subarray(0, 20)), 0)
        whole.set(piece.subarray(20), (view.getUint16(6) & 0x1fff) * 8)
      }
      assert.equal(whole, data)
    }),
  )
})

rule('tells the sender of an IPv4 packet that must not be cut (RFC 1191)', () => {
  const packet = packetTo('10.0.0.1', '10.0.0.2', payload(1400)).with(6, 0x40)
  const result = fit(packet, 1300)
  if (result.kind !== 'notice') throw new Error('no notice')
  const notice = result.packet
  assert.equal([...notice.subarray(12, 20)], [10, 0, 0, 2, 10, 0, 0, 1])
  assert.equal([notice[9], notice[20], notice[21]], [1, 3, 4])
  assert.is(new DataView(notice.buffer).getUint16(26), 1300)
  assert.equal(notice.subarray(28), packet.subarray(0, 28))
  assert.is(internetChecksum(notice.subarray(0, 20)), 0)
  assert.is(internetChecksum(notice.subarray(20)), 0)
})

rule('tells the sender of an IPv6 packet, never less than 1280 (RFC 4443)', () => {
  const packet = concat(
    Uint8Array.of(0x60, 0, 0, 0, 5, 0xb4, 17, 64),
    new Uint8Array(15),
    Uint8Array.of(1),
    new Uint8Array(15),
    Uint8Array.of(2),
    payload(1460),
  )
  for (const [mtu, said] of [
    [1400, 1400],
    [1200, 1280],
  ] as const) {
    const result = fit(packet, mtu)
    if (result.kind !== 'notice') throw new Error('no notice')
    const notice = result.packet
    assert.is(notice.length, 1280)
    assert.equal([notice[6], notice[40], notice[23], notice[39]], [58, 2, 2, 1])
    const view = new DataView(notice.buffer)
    assert.is(view.getUint16(4), notice.length - 40)
    assert.is(view.getUint32(44), said)
    const pseudo = new Uint8Array(40)
    pseudo.set(notice.subarray(8, 40))
    new DataView(pseudo.buffer).setUint32(32, notice.length - 40)
    pseudo[39] = 58
    assert.is(internetChecksum(pseudo, notice.subarray(40)), 0)
  }
})

rule('holds for each peer by the MTU of its path', () => {
  const net = new VirtualNet()
  const [a, b, c] = [net.host(1), net.host(2), net.host(3)]
  introduce(a, b)
  introduce(a, c)
  a.machine.setMtu(1420)
  a.machine.peer(b.keys.publicKey)?.setMtu(1300)
  for (const to of [b, c]) say(a, to, payload(1400))
  net.run(100)
  assert.equal(
    [b, c].map(({ delivered }) => delivered.map(({ length }) => length)),
    [[1300, 20 + 1400 - 1280], [1420]],
  )
  a.machine.outgoing(packetTo('10.0.0.1', '10.0.0.2', payload(1400)).with(6, 0x40))
  assert.is(a.delivered.length, 1)
})

rule.run()
