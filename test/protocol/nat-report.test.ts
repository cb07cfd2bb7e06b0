import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CborMap } from '../../protocol/codec.ts'
import type { EndpointUpdate } from '../../protocol/endpoint-update.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { type NatReport, parseNatReports } from '../../protocol/nat-report.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const rule = suite('NAT reports (SPEC §6.3)')
const REPORT: NatReport = {
  ...{ family: 4, mapping: 'endpoint-independent', filtering: 'address-dependent' },
  ...{ hairpinning: 'no', portPreserved: 'yes', udp: 'works', lifetime: 120 },
}
const updateOf = (bytes: Uint8Array): EndpointUpdate => {
  const envelope = openEnvelope(bytes)
  assert.ok(envelope.kind === 'endpoint-update')
  return envelope.body
}

rule('are read as they were said, both families', () => {
  const reports: readonly NatReport[] = [
    REPORT,
    { ...REPORT, family: 6, mapping: 'none', lifetime: 0 },
  ]
  assert.equal(updateOf(acme.endpoint(laptop, { nat: reports })).nat, reports)
})

rule('are left out where nothing is known, and the bytes are those of before', () => {
  assert.equal(acme.endpoint(laptop, { nat: [] }), acme.endpoint(laptop))
  assert.is('nat' in updateOf(acme.endpoint(laptop)), false)
})

rule('read words of a later version as unknown, and ignore what it adds', () => {
  const claims = {
    what: 'endpoint update',
    map: new Map([[-65542, [[6, 99, 99, 99, 99, 99, 7, 'more']]]]) as CborMap,
  }
  assert.equal(parseNatReports(claims, { key: -65542, name: 'NAT reports' }), [
    {
      ...{ family: 6, mapping: 'unknown', filtering: 'unknown', hairpinning: 'unknown' },
      ...{ portPreserved: 'unknown', udp: 'unknown', lifetime: 7 },
    },
  ])
})

rule('cap a lifetime beyond a day, and count whole seconds', () => {
  const told = (lifetime: number) =>
    updateOf(acme.endpoint(laptop, { nat: [{ ...REPORT, lifetime }] })).nat?.[0]?.lifetime
  assert.equal([told(1e6), told(12.7)], [86_400, 12])
})

rule.run()
