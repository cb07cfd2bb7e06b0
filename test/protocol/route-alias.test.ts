import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../crypto/bytes.ts'
import { parsePrefix, prefixContains, prefixLength } from '../../protocol/address.ts'
import { type DeviceId, deviceIdOf, parseKey } from '../../protocol/keys.ts'
import { isAmongAliases, routeAlias } from '../../protocol/route-alias.ts'

const rule = suite('route alias (SPEC §8.9)')
/** Of RFC 8032 §7.1. */
const [device, other] = [
  'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
].map((hex) => deviceIdOf(parseKey<'device'>(fromHex(hex), 'device'))) as [DeviceId, DeviceId]

rule('is what the specification says', () => {
  for (const [prefix, alias] of [
    ['10.99.0.1/32', '245.50.101.208/32'],
    ['192.168.2.0/24', '246.79.57.0/24'],
    ['fd00::99/128', 'fca7:6db8:6a2f:930e:ece4:ebb8:8aff:d01/128'],
    ['fd00:1:2:3::/64', 'fc41:9b21:1558:d515::/64'],
  ] as const)
    assert.is(routeAlias(device, parsePrefix(prefix)), alias)
})

rule('is another for another device, where nobody else is, and as long as the prefix', () => {
  for (const text of ['10.99.0.1/32', '10.4.0.0/16', 'fd00::99/128', '2001:db8::/32']) {
    const prefix = parsePrefix(text)
    const [one, two] = [device, other].map((each) => routeAlias(each, prefix))
    if (one === undefined || two === undefined) throw new Error(`${text} has no alias`)
    assert.is.not(one, two)
    for (const alias of [one, two]) {
      assert.ok(
        prefixContains(parsePrefix(alias.includes(':') ? 'fc00::/8' : '240.0.0.0/4'), alias),
      )
      assert.ok(isAmongAliases(alias))
      assert.is(prefixLength(alias), prefixLength(prefix))
    }
    assert.not.ok(isAmongAliases(prefix))
  }
})

rule('is none for what is too wide', () => {
  for (const text of ['0.0.0.0/0', '::/0', '10.0.0.0/15', '2000::/23'])
    assert.is(routeAlias(device, parsePrefix(text)), undefined)
})

rule.run()
