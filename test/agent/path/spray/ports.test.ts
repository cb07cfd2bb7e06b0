import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LEAST_PORT, PROBES } from '../../../../agent/path/spray/limits.ts'
import { randomPorts } from '../../../../agent/path/spray/ports.ts'
import { seededRandom } from '../../../../simulations/world/virtual-clock.ts'

const rule = suite('ports that are probed (SPEC §10.8)')

function bytesOf(seed: number): (length: number) => Uint8Array {
  const random = seededRandom(seed)
  return (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256))
}

rule('are all different and from 1024 up, whatever the random bytes', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: PROBES }), (seed, count) => {
      const ports = randomPorts(count, bytesOf(seed))
      assert.is(new Set(ports).size, count)
      assert.ok(ports.every((port) => port >= LEAST_PORT && port <= 65_535))
    }),
  )
  for (const byte of [0, 255]) {
    const same = randomPorts(PROBES, (length) => new Uint8Array(length).fill(byte))
    assert.is(new Set(same).size, PROBES)
  }
})

rule('are spread evenly over all', () => {
  const counts = new Array<number>(8).fill(0)
  for (let seed = 0; seed < 40; seed++) {
    for (const port of randomPorts(PROBES, bytesOf(seed))) {
      const eighth = Math.floor(((port - LEAST_PORT) * 8) / (65_536 - LEAST_PORT))
      counts[eighth] = (counts[eighth] ?? 0) + 1
    }
  }
  const mean = (40 * PROBES) / 8
  for (const count of counts) assert.ok(Math.abs(count - mean) < mean * 0.05, counts.join(' '))
})

rule.run()
