import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { datagramBytes, interfaceMtu, largestPacket, usualMtu } from '../../../agent/tunnel/mtu.ts'

const rule = suite('MTU arithmetic')

rule('gives the interface what fits over IPv6 in the link, in whole words', () => {
  const cases: readonly [link: number | undefined, mtu: number][] = [
    [undefined, 1420],
    [1500, 1420],
    [1460, 1380],
    [1492, 1412],
    [1491, 1408],
    [9001, 8920],
    // IPv6 inside needs 1280, and relays carry no more than 9216.
    [1300, 1280],
    [576, 1280],
    [65_536, 9184],
  ]
  for (const [link, mtu] of cases) assert.is(interfaceMtu(link), mtu, `${link}`)
})

rule('leaves room for headers and for WireGuard’s filling up to 16', () => {
  assert.is(largestPacket(1500, 4, 1420), 1420)
  assert.is(largestPacket(1500, 6, 1420), 1420)
  assert.is(largestPacket(1499, 6, 1420), 1408)
  assert.is(largestPacket(1400, 4, 1420), 1328)
  assert.is(largestPacket(1400, 6, 1420), 1312)
  assert.is(usualMtu(1420), 1420)
  assert.is(usualMtu(1380), 1380)
  assert.is(usualMtu(8920), 1408)
})

rule('never makes a packet larger than the path, however WireGuard fills it', () => {
  const property = fc.property(
    fc.integer({ min: 576, max: 9216 }),
    fc.constantFrom<4 | 6>(4, 6),
    fc.integer({ min: 576, max: 9216 }).map(interfaceMtu),
    (outer, family, ofInterface) => {
      const most = largestPacket(outer, family, ofInterface)
      const filled = Math.min(ofInterface, 16 * Math.ceil(most / 16))
      assert.ok(datagramBytes(filled) + (family === 4 ? 28 : 48) <= outer)
      assert.is(datagramBytes(most) % 4, 0)
      assert.ok(most > outer - 80 - 16 || most === ofInterface)
    },
  )
  fc.assert(property)
})

rule.run()
