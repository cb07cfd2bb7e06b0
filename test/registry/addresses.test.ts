import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase32 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { parsePrefix, prefixContains } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { addressesOf, numberOf } from '../../registry/addresses.ts'
import { highestNumberOf, parseRanges, standardRanges } from '../../registry/ranges.ts'
import { Refused } from '../../registry/refusal.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('addresses')
const acme = toBase32(sha256(new Uint8Array(1)).subarray(0, 16)) as OrganizationId
const other = toBase32(sha256(new Uint8Array(2)).subarray(0, 16)) as OrganizationId

const ranges = standardRanges(acme)
const HIGHEST_NUMBER = highestNumberOf(ranges)

const refusedAs = (code: string) => (error: unknown) =>
  error instanceof Refused && error.code === code

rule('a number is an IPv4 and an IPv6 address inside the organization ranges, and back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: HIGHEST_NUMBER }), (number) => {
      const addresses = addressesOf(ranges, number)
      assert.is(addresses.length, 2)
      for (const [index, address] of addresses.entries()) {
        assert.ok(prefixContains(ranges[index] ?? ranges[0], address))
        assert.is(numberOf(ranges, address.split('/')[0] ?? ''), number)
      }
    }),
  )
})

rule('the first device has 100.64.0.1, the last 100.127.255.255', () => {
  assert.is(addressesOf(ranges, 1)[0], parsePrefix('100.64.0.1/32'))
  assert.is(addressesOf(ranges, HIGHEST_NUMBER)[0], parsePrefix('100.127.255.255/32'))
})

rule('two organizations have the same IPv4 range and IPv6 ranges of their own', () => {
  assert.is(ranges[0], standardRanges(other)[0])
  assert.is.not(ranges[1], standardRanges(other)[1])
  assert.match(ranges[1], /^fd[0-9a-f:]+\/48$/)
})

rule('refuses an address asked for that is not in range or is no address', () => {
  const outside = [
    '100.64.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '10.0.0.1',
    'fd00::1',
    'localhost',
    '',
  ]
  for (const text of outside) {
    assert.throws(() => numberOf(ranges, text), refusedAs('address-out-of-range'), text)
  }
  // Of the right prefix, but not the address of any number.
  const [, ipv6] = ranges
  const high = ipv6.replace('::/48', ':1::1')
  assert.throws(() => numberOf(ranges, high), refusedAs('address-out-of-range'))
})

rule(
  'an organization may have ranges of its own, and its devices have addresses in them',
  async () => {
    await using core = await startCore()
    const wanted = { ipv4: '192.168.77.0/24', ipv6: 'fd12:3456::/64' }
    const organization = await core.issuing.found('acme', undefined, wanted)
    const key = await core.key(organization)
    const [laptop, phone] = [asker('laptop'), asker('phone')]
    const { envelopes } = await core.enrol(laptop, key)
    await core.enrol(phone, key, 'fd12:3456::ff')
    assert.equal((await core.devices.get(organization, laptop.id))?.addresses, [
      '192.168.77.1',
      'fd12:3456::1',
    ])
    assert.equal((await core.devices.get(organization, phone.id))?.addresses, [
      '192.168.77.255',
      'fd12:3456::ff',
    ])
    const state = core.hear(organization, envelopes)
    assert.ok(memberOf(state, laptop.id, core.clock.now()))
    for (const outside of ['100.64.0.1', '192.168.78.1', 'fd12:3456::100', '192.168.77.0']) {
      const refused = await core.enrol(asker('x'), key, outside).catch((error: unknown) => error)
      assert.ok(refusedAs('address-out-of-range')(refused), outside)
    }
  },
)

rule('a small range is used up, and no address is outside of it', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme', undefined, { ipv4: '10.9.8.0/29' })
  const key = await core.key(organization)
  for (let count = 0; count < 7; count++) await core.enrol(asker(`d${count}`), key)
  const given = (await core.devices.list(organization)).map(({ addresses }) => addresses[0])
  assert.equal(
    given,
    [1, 2, 3, 4, 5, 6, 7].map((n) => `10.9.8.${n}`),
  )
  const full = await core.enrol(asker('x'), key).catch((error: unknown) => error)
  assert.ok(refusedAs('addresses-exhausted')(full))
})

rule('refuses a range that is not private, too small, of the wrong family, or no prefix', () => {
  const cases: [string, string, RegExp][] = [
    ['ipv4', '8.8.8.0/24', /ipv4Range: 8.8.8.0\/24 is not private/],
    ['ipv4', '100.0.0.0/8', /not private/],
    ['ipv4', '100.64.0.0/9', /host bits/],
    ['ipv4', '169.254.0.0/16', /not private/],
    ['ipv4', '127.0.0.0/8', /not private/],
    ['ipv4', '224.0.0.0/4', /not private/],
    ['ipv4', '0.0.0.0/0', /not private/],
    ['ipv4', '10.0.0.0/7', /not private/],
    ['ipv4', '10.0.0.0/30', /too small: at most \/29/],
    ['ipv4', 'fd00::/48', /no IPv4 prefix/],
    ['ipv4', '10.0.0.1/24', /host bits/],
    ['ipv4', '', /^ipv4Range: /],
    ['ipv6', '10.0.0.0/8', /no IPv6 prefix/],
    ['ipv6', '2001:db8::/48', /not private/],
    ['ipv6', '200::/32', /not private/],
    ['ipv6', 'fc00::/48', /not private/],
    ['ipv6', 'fe80::/64', /not private/],
    ['ipv6', 'fd00::/126', /too small/],
  ]
  for (const [family, range, why] of cases) {
    try {
      parseRanges(acme, { [family]: range })
      assert.unreachable(range)
    } catch (error) {
      assert.ok(refusedAs('range-invalid')(error), range)
      assert.match((error as Refused).message, why)
      assert.is((error as Refused).field, `${family}Range`)
    }
  }
})

rule('an address asked for is given when it is free, and refused when it is not', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const key = await core.key(organization)
  const [laptop, phone, pad] = [asker('laptop'), asker('phone'), asker('pad')]
  await core.enrol(laptop, key, '100.64.0.2')
  assert.equal((await core.devices.get(organization, laptop.id))?.addresses[0], '100.64.0.2')
  const taken = await core.enrol(phone, key, '100.64.0.2').catch((error: unknown) => error)
  assert.ok(refusedAs('address-not-free')(taken))
  assert.is(await core.devices.get(organization, phone.id), undefined)
  await core.enrol(phone, key)
  await core.enrol(pad, key)
  const given = (await core.devices.list(organization)).map(({ addresses }) => addresses[0])
  assert.equal(given.toSorted(), ['100.64.0.1', '100.64.0.2', '100.64.0.3'])
})

rule('a device that has an address is refused another', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const key = await core.key(organization)
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  await core.enrol(laptop, key, '100.64.0.1')
  const refused = await core.enrol(laptop, key, '100.64.0.9').catch((error: unknown) => error)
  assert.ok(refusedAs('address-not-free')(refused))
})

rule(
  'a released address is given again only after the last certificate naming it has ended',
  async () => {
    await using core = await startCore({ settings: { addresses: 2 } })
    const organization = await core.issuing.found('acme')
    const key = await core.key(organization, { lasts: 10 * 86_400 })
    const [laptop, phone, pad] = [asker('laptop'), asker('phone'), asker('pad')]
    await core.enrol(laptop, key)
    await core.enrol(phone, key)
    await core.devices.remove(organization, laptop.id)
    core.advance(86_400 - 10)
    for (const requested of [undefined, '100.64.0.1']) {
      const early = await core.enrol(pad, key, requested).catch((error: unknown) => error)
      assert.ok(refusedAs(requested ? 'address-not-free' : 'addresses-exhausted')(early))
    }
    core.advance(10)
    await core.enrol(pad, key)
    assert.equal((await core.devices.get(organization, pad.id))?.addresses[0], '100.64.0.1')
  },
)

rule('devices that enrol at the same time get addresses and names of their own', async () => {
  await using core = await startCore()
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          name: fc.constantFrom('laptop', 'phone'),
          wants: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
        }),
        { minLength: 2, maxLength: 10 },
      ),
      async (wanted) => {
        const organization = await core.issuing.found('acme')
        const key = await core.key(organization)
        const outcomes = await Promise.allSettled(
          wanted.map(({ name, wants }) =>
            core.enrol(asker(name), key, wants === undefined ? undefined : `100.64.0.${wants}`),
          ),
        )
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected')
            assert.ok(refusedAs('address-not-free')(outcome.reason))
        }
        const devices = await core.devices.list(organization)
        assert.is(devices.length, outcomes.filter(({ status }) => status === 'fulfilled').length)
        assert.is(new Set(devices.flatMap(({ addresses }) => addresses)).size, devices.length * 2)
        assert.is(new Set(devices.map(({ name }) => name)).size, devices.length)
        const serials = (await core.issuing.envelopes(organization))
          .map(openEnvelope)
          .flatMap(({ kind, body }) => (kind === 'membership-certificate' ? [body] : []))
        assert.is(serials.length, devices.length)
      },
    ),
    { numRuns: 15 },
  )
})

rule.run()
