import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FlowFilter, filtered } from '../../../agent/firewall/flow-filter.ts'
import { sourceChanges, withSource } from '../../../agent/firewall/packet-source.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { NO_RULES } from '../../../protocol/policy-rules.ts'
import { ipPacket } from '../../support/packets.ts'

const rule = suite('packet source (SPEC §8.9)')
const PAIRS = [
  ['10.99.0.1/32', '241.2.3.4/32'],
  ['192.168.2.0/24', '250.1.2.0/24'],
  ['10.8.0.0/20', '243.9.16.0/20'],
  ['fd00::99/128', 'fc12:3456:789a::1/128'],
  ['fd00:1:2:3::/64', 'fc01:2:3:4::/64'],
].map(([prefix = '', alias = '']) => [parsePrefix(prefix), parsePrefix(alias)] as const)
/** A host of each, and what it is by the alias. */
const HOSTS = [
  ['10.99.0.1', '241.2.3.4', '100.64.0.9'],
  ['192.168.2.12', '250.1.2.12', '100.64.0.9'],
  ['10.8.15.255', '243.9.31.255', '100.64.0.9'],
  ['fd00::99', 'fc12:3456:789a::1', 'fd00::9'],
  ['fd00:1:2:3:a:b:c:d', 'fc01:2:3:4:a:b:c:d', 'fd00::9'],
] as const
const there = sourceChanges(PAIRS)
const back = sourceChanges(PAIRS.map(([prefix, alias]) => [alias, prefix]))

rule('becomes the same host of the other prefix, as if it had been sent from there', () => {
  for (const [host, alias, destination] of HOSTS) {
    for (const protocol of [6, 17, destination.includes(':') ? 58 : 1, 132]) {
      const payload = new Uint8Array(33).fill(0xa5)
      const [own, its] = [host, alias].map((source) =>
        ipPacket({ source, destination, protocol, payload }),
      ) as [Uint8Array, Uint8Array]
      assert.equal(Buffer.from(withSource(own, there)), Buffer.from(its), `${host} ${protocol}`)
      assert.equal(Buffer.from(withSource(its, back)), Buffer.from(own), `${alias} ${protocol}`)
    }
  }
})

rule('stays where it is none of them, or no packet', () => {
  for (const source of ['10.99.0.2', '192.168.3.1', '10.8.16.0']) {
    const packet = ipPacket({ source, destination: '100.64.0.9', protocol: 17 })
    assert.is(withSource(packet, there), packet)
  }
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0x45), new Uint8Array(20)])
    assert.is(withSource(bytes, there), bytes)
})

rule('has no checksum where UDP had none', () => {
  const packet = ipPacket({ source: '10.99.0.1', destination: '100.64.0.9', protocol: 17 })
  packet.fill(0, 26, 28)
  assert.equal([...withSource(packet, there).subarray(26, 28)], [0, 0])
})

rule(
  'goes in from where it is from, and out by the alias, where there is no interface',
  async () => {
    const filter = new FlowFilter({ monotonicMs: () => 0 })
    const own = { name: 'laptop', owner: 'ada', groups: [], prefixes: [] }
    const [[prefix, alias] = []] = PAIRS
    if (prefix === undefined || alias === undefined) throw new Error('no pair')
    const pair = [{ prefix, alias }]
    const written: Uint8Array[] = []
    const device = {
      onPacket: (_: Uint8Array): void => undefined,
      write: (packet: Uint8Array) => void written.push(packet),
      configure: () => undefined,
    }
    const outside = filtered(device, filter)
    const sent: Uint8Array[] = []
    outside.onPacket = (packet) => void sent.push(packet)
    const wanted = { policy: NO_RULES, own, peers: [], meshPorts: { own: [], others: [] } }
    const [byName, byAlias] = ['10.99.0.1', '241.2.3.4'].map((source) =>
      Buffer.from(ipPacket({ source, destination: '100.64.0.9', protocol: 17 })),
    ) as [Buffer, Buffer]
    await filter.enforce({ ...wanted, aliases: { arriving: pair, leaving: pair } })
    outside.write(byAlias)
    device.onPacket(byName)
    await filter.enforce(wanted)
    outside.write(byAlias)
    device.onPacket(byName)
    assert.equal(
      written.map((each) => Buffer.from(each)),
      [byName, byAlias],
    )
    assert.equal(
      sent.map((each) => Buffer.from(each)),
      [byAlias, byName],
    )
  },
)

rule.run()
