import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MalformedError } from '../../protocol/errors.ts'
import { RelayMeter } from '../../protocol/relay-meter.ts'
import { parseRelayRate } from '../../protocol/relay-rate.ts'

const PACKET = 1452
const rule = suite('relay meter (SPEC §12.5)')

/** Each sends at its own bytes a second for so long, in steps of a millisecond; what was carried. */
function carried(
  meter: RelayMeter<string>,
  wanted: Readonly<Record<string, number>>,
  seconds: number,
): Record<string, number> {
  const sums = Object.fromEntries(Object.keys(wanted).map((name) => [name, 0]))
  const owed = { ...sums }
  for (let ms = 0; ms < seconds * 1000; ms += 1) {
    for (const [name, rate] of Object.entries(wanted)) {
      owed[name] = (owed[name] ?? 0) + rate / 1000
      while ((owed[name] ?? 0) >= PACKET) {
        owed[name] = (owed[name] ?? 0) - PACKET
        if (meter.take(name, PACKET, ms)) sums[name] = (sums[name] ?? 0) + PACKET
      }
    }
  }
  return sums
}

const within = (value: number | undefined, low: number, high: number, what: string): void =>
  assert.ok(value !== undefined && value >= low && value <= high, `${what}: ${value}`)

rule('carries what is within the rate of a member, and no more than that for long', () => {
  const rate = { total: 4e6, member: 2e6 }
  const calm = carried(new RelayMeter(rate), { a: 1.9e6 }, 10)
  within(calm['a'], 1.89e7, 1.9e7, 'calm')
  const flood = carried(new RelayMeter(rate), { a: 50e6 }, 10)
  within(flood['a'], 1.9e7, 2e7 + 5e5 + PACKET, 'flood')
})

rule('does not let a flood starve those who stay within their share', () => {
  const meter = new RelayMeter<string>({ total: 3e6, member: 3e6 })
  const { flood, b, c } = carried(meter, { flood: 60e6, b: 0.9e6, c: 0.2e6 }, 10)
  within(b, 0.99 * 9e6, 9e6, 'b')
  within(c, 0.99 * 2e6, 2e6, 'c')
  within(flood, 1.5e7, 2.1e7, 'the flood has what is left')
})

rule('shares the total equally between those who flood', () => {
  const names = ['a', 'b', 'c', 'd']
  const meter = new RelayMeter<string>({ total: 4e6, member: 4e6 })
  const sums = carried(meter, Object.fromEntries(names.map((name) => [name, 20e6])), 10)
  for (const name of names) within(sums[name], 0.8e7, 1.3e7, name)
  const all = Object.values(sums).reduce((sum, each) => sum + each, 0)
  within(all, 3.8e7, 4e7 + 4 * 262_144 + 2e6, 'all')
})

rule('carries nothing at a rate of 0', () => {
  const meter = new RelayMeter<string>({ total: 0, member: 0 })
  assert.equal(carried(meter, { a: 1e6 }, 2), { a: 0 })
})

rule('forgets whoever has been silent for a while', () => {
  const meter = new RelayMeter<string>({ total: 1e9, member: 1e9 })
  for (let n = 0; n < 1000; n += 1) meter.take(`member ${n}`, 100, 0)
  assert.is(meter.size, 1000)
  meter.take('last', 100, 5000)
  assert.is(meter.size, 1)
})

const text = suite('relay rate')

text('is Mbit/s in all, and of one member or half of it', () => {
  assert.equal(parseRelayRate('8'), { total: 1e6, member: 5e5 })
  assert.equal(parseRelayRate('8:2'), { total: 1e6, member: 2.5e5 })
  assert.equal(parseRelayRate('0.8:0.8'), { total: 1e5, member: 1e5 })
  assert.equal(parseRelayRate('0'), { total: 0, member: 0 })
})

text('is refused with a message that says what is wanted', () => {
  for (const wrong of [
    '',
    'fast',
    '-1',
    '1:2',
    '8:',
    ':2',
    '1e3',
    '8:2:1',
    '100001',
    '8 Mbit',
    'NaN',
  ]) {
    assert.throws(
      () => parseRelayRate(wrong),
      (error: unknown) =>
        error instanceof MalformedError && error.message.includes(`"${wrong}": want Mbit/s`),
      wrong,
    )
  }
})

rule.run()
text.run()
