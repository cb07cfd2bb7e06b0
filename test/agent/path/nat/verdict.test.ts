import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { verdictOf } from '../../../../agent/path/nat/verdict.ts'
import {
  NAT_FILTERINGS,
  NAT_MAPPINGS,
  type NatReport,
  UDP_STATES,
} from '../../../../protocol/nat-report.ts'

const rule = suite('verdict')
const REPORT: NatReport = {
  ...{ family: 4, mapping: 'unknown', filtering: 'unknown', hairpinning: 'unknown' },
  ...{ portPreserved: 'unknown', udp: 'works', lifetime: 0 },
}
const say = (report: Partial<NatReport>, change: object = {}): string =>
  verdictOf({
    report: { ...REPORT, ...report },
    ...{ hasAddress: true, hasGateway: true, voices: 3 },
    ...change,
  })

rule('says whom a device reaches directly and whom by a relay', () => {
  const open = { filtering: 'endpoint-independent' } as const
  assert.match(say({ mapping: 'none', ...open }), /^no NAT, and open .* direct with every device/)
  assert.match(say({ mapping: 'none' }), /unless a firewall .* by a relay with/)
  assert.match(say({ mapping: 'endpoint-independent', ...open }), /direct with every device/)
  assert.match(say({ mapping: 'endpoint-independent' }), /a NAT that keeps one mapping; by a relay/)
  for (const mapping of ['address-dependent', 'address-and-port-dependent'] as const)
    assert.match(say({ mapping }), /new mapping for each peer: direct with .* by a relay with all/)
})

rule('says why nothing is known', () => {
  assert.match(say({}, { hasAddress: false }), /^no IPv4 address/)
  assert.match(say({ family: 6, udp: 'unknown' }), /nobody has answered by UDP over IPv6/)
  assert.match(say({ udp: 'unknown' }, { hasGateway: false }), /no default route/)
  assert.match(say({ udp: 'blocked' }), /UDP is blocked: .* by a relay over TCP/)
  assert.match(say({}, { voices: 1 }), /one observer is not enough/)
  assert.match(say({}), /contradict each other/)
})

rule('has a sentence for all there is', () => {
  for (const mapping of NAT_MAPPINGS)
    for (const filtering of NAT_FILTERINGS)
      for (const udp of UDP_STATES) assert.ok(say({ mapping, filtering, udp }).length > 20)
})

rule.run()
