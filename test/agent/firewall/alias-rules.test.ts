import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { aliasChains } from '../../../agent/firewall/alias-rules.ts'
import { NO_ALIASES } from '../../../agent/firewall/firewall.ts'
import { parsePrefix } from '../../../protocol/address.ts'

const rule = suite('alias rules (SPEC §8.9)')
const pair = (prefix: string, alias: string) => ({
  prefix: parsePrefix(prefix),
  alias: parsePrefix(alias),
})

rule('are none where nothing moves', () => {
  assert.is(aliasChains('nexodus0', NO_ALIASES), '')
})

rule('translate first of all what arrives, and last of all what leaves', () => {
  const text = aliasChains('nexodus0', {
    arriving: [
      pair('10.99.0.1/32', '241.2.3.4/32'),
      pair('10.8.0.0/20', '243.9.16.0/20'),
      pair('fd00:1:2:3::/64', 'fc01:2:3:4::/64'),
    ],
    leaving: [pair('192.168.2.0/24', '250.1.2.0/24'), pair('fd00::99/128', 'fc12::1/128')],
  })
  assert.is(
    text,
    `  chain alias-arriving {
    type filter hook prerouting priority raw - 10; policy accept;
    iifname "nexodus0" ip saddr 241.2.3.4/32 ip saddr set 10.99.0.1
    iifname "nexodus0" ip saddr 243.9.16.0/20 ip saddr set ip saddr & 0.0.15.255 | 10.8.0.0
    iifname "nexodus0" ip6 saddr fc01:2:3:4::/64 ip6 saddr set ip6 saddr & ::ffff:ffff:ffff:ffff | fd00:1:2:3::
  }
  chain alias-leaving {
    type filter hook postrouting priority srcnat + 250; policy accept;
    oifname "nexodus0" ip saddr 192.168.2.0/24 ip saddr set ip saddr & 0.0.0.255 | 250.1.2.0
    oifname "nexodus0" ip6 saddr fd00::99/128 ip6 saddr set fc12::1
  }
`,
  )
})

rule.run()
