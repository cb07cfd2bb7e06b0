import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { mayBeDirect } from '../../agent/attach-relays.ts'
import { parseEndpoint } from '../../protocol/address.ts'
import type { NatFiltering, NatMapping, NatReport } from '../../protocol/nat-report.ts'

const report = (mapping: NatMapping, filtering: NatFiltering = 'unknown'): NatReport => ({
  ...{ family: 4, mapping, filtering, hairpinning: 'unknown', portPreserved: 'unknown' },
  ...{ udp: 'works', lifetime: 0 },
})
const said = (nat: readonly NatReport[], ...addresses: readonly string[]) => ({
  nat,
  candidates: addresses.map((text) => ({ kind: 'host' as const, ...parseEndpoint(text) })),
})
const HARD = report('address-and-port-dependent', 'address-and-port-dependent')
const PORT = report('endpoint-independent', 'address-and-port-dependent')
const FULL = report('endpoint-independent', 'endpoint-independent')
const rule = suite('whether a direct path may be')

rule('not where both NATs make new mappings, or one does and the other asks for the port', () => {
  for (const [a, b] of [
    [HARD, HARD],
    [HARD, report('address-dependent')],
    [HARD, PORT],
    [HARD, report('endpoint-independent')],
  ] as const) {
    assert.not(mayBeDirect(said([a]), said([b])))
    assert.not(mayBeDirect(said([b]), said([a])))
  }
})

rule('else it may, for all that is known', () => {
  for (const [a, b] of [
    [PORT, PORT],
    [HARD, FULL],
    [HARD, report('none')],
    [HARD, report('endpoint-independent', 'address-dependent')],
    [HARD, report('unknown')],
  ] as const)
    assert.ok(mayBeDirect(said([a]), said([b])))
  assert.ok(mayBeDirect(said([HARD]), said([])))
})

rule('by IPv6, whatever is before IPv4', () => {
  const [a, b] = ['[2001:db8::1]:1', '[2001:db8::2]:1']
  assert.ok(mayBeDirect(said([HARD], a), said([HARD], b)))
  assert.not(mayBeDirect(said([HARD], a), said([HARD])))
})

rule.run()
