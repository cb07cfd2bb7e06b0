import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase32 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { parsePrefix, prefixContains } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { addressesOf, HIGHEST_NUMBER, numberOf, rangesOf } from '../../registry/addresses.ts'
import { Refused } from '../../registry/refusal.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('addresses')
const acme = toBase32(sha256(new Uint8Array(1)).subarray(0, 16)) as OrganizationId
const other = toBase32(sha256(new Uint8Array(2)).subarray(0, 16)) as OrganizationId

const refusedAs = (code: string) => (error: unknown) =>
  error instanceof Refused && error.code === code

rule('a number is an IPv4 and an IPv6 address inside the organization ranges, and back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: HIGHEST_NUMBER }), (number) => {
      const addresses = addressesOf(acme, number)
      const ranges = rangesOf(acme)
      assert.is(addresses.length, 2)
      for (const [index, address] of addresses.entries()) {
        assert.ok(prefixContains(ranges[index] ?? ranges[0], address))
        assert.is(numberOf(acme, address.split('/')[0] ?? ''), number)
      }
    }),
  )
})

rule('the first device has 100.64.0.1, the last 100.127.255.255', () => {
  assert.is(addressesOf(acme, 1)[0], parsePrefix('100.64.0.1/32'))
  assert.is(addressesOf(acme, HIGHEST_NUMBER)[0], parsePrefix('100.127.255.255/32'))
})

rule('two organizations have the same IPv4 range and IPv6 ranges of their own', () => {
  assert.is(rangesOf(acme)[0], rangesOf(other)[0])
  assert.is.not(rangesOf(acme)[1], rangesOf(other)[1])
  assert.match(rangesOf(acme)[1], /^fd[0-9a-f:]+\/48$/)
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
    assert.throws(() => numberOf(acme, text), refusedAs('address-out-of-range'), text)
  }
  // Of the right prefix, but not the address of any number.
  const [, ipv6] = rangesOf(acme)
  const high = ipv6.replace('::/48', ':1::1')
  assert.throws(() => numberOf(acme, high), refusedAs('address-out-of-range'))
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
