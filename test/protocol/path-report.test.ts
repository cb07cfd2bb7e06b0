import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import type { CborMap, CborValue } from '../../protocol/codec.ts'
import { type EndpointUpdate, fittingPaths } from '../../protocol/endpoint-update.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { CANDIDATES, ENVELOPE_BYTES, MULTIADDRS, PATH_REPORTS } from '../../protocol/limits.ts'
import { type PathReport, parsePathReports } from '../../protocol/path-report.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const rule = suite('path reports (SPEC §6.4)')
const FIELD = { key: -65544, name: 'path reports' }
const address = (number: number): string => toHex(new Uint8Array(9).fill(number))
const REPORTS: readonly PathReport[] = [
  { peer: address(1), kind: 'direct', roundTripMs: 12 },
  { peer: address(2), kind: 'relayed', roundTripMs: 80, relay: 'registry' },
  { peer: address(3), kind: 'relayed', relay: address(1) },
]
const updateOf = (bytes: Uint8Array): EndpointUpdate => {
  const envelope = openEnvelope(bytes)
  assert.ok(envelope.kind === 'endpoint-update')
  return envelope.body
}
const parse = (value: CborValue) =>
  parsePathReports({ what: 'update', map: new Map([[FIELD.key, value]]) as CborMap }, FIELD)
const peer = new Uint8Array(9)

rule('are read as they were said', () => {
  assert.equal(updateOf(acme.endpoint(laptop, { paths: REPORTS })).paths, REPORTS)
})

rule('are left out where there are none, and the bytes are those of before', () => {
  assert.equal(acme.endpoint(laptop, { paths: [] }), acme.endpoint(laptop))
  assert.is('paths' in updateOf(acme.endpoint(laptop)), false)
})

rule('count whole milliseconds, at least one, and none that were not measured', () => {
  const told = (roundTripMs: number) =>
    updateOf(acme.endpoint(laptop, { paths: [{ peer: address(1), kind: 'direct', roundTripMs }] }))
      .paths?.[0]?.roundTripMs
  assert.equal([told(0.2), told(12.2), told(1e9), told(0)], [1, 13, 65_535, undefined])
})

rule('read kinds of a later version as unknown, and ignore what it adds', () => {
  assert.equal(parse([[peer, 99, 7, peer, 'more', 1]]), [
    { peer: address(0), kind: 'unknown', roundTripMs: 7, relay: address(0) },
  ])
})

for (const [what, value, error] of [
  ['no list', 7, /path reports must be an array/],
  ['more than the limit', Array(PATH_REPORTS + 1).fill([peer, 1, 1]), /17 items, want at most 16/],
  [
    'a peer twice',
    [
      [peer, 1, 1],
      [peer, 2, 1],
    ],
    /report a peer twice/,
  ],
  ['no list in it', ['path'], /want a list of 3 to 8 items/],
  ['too few items', [[peer, 1]], /want a list of 3 to 8 items/],
  ['too many items', [[peer, 1, 1, peer, 1, 1, 1, 1, 1]], /want a list of 3 to 8 items/],
  ['an address of another length', [[new Uint8Array(8), 1, 1]], /peer must be 9 bytes/],
  ['an address that is text', [['abcdefghi', 1, 1]], /peer must be 9 bytes/],
  ['a negative kind', [[peer, -1, 1]], /kind is -1, want 0 to 255/],
  ['a kind that is text', [[peer, 'direct', 1]], /kind must be a whole number/],
  ['a round trip of an hour', [[peer, 1, 3_600_000]], /round trip is 3600000, want 0 to 65535/],
  ['a negative round trip', [[peer, 1, -5]], /round trip is -5, want 0 to 65535/],
  ['a relay of another length', [[peer, 2, 1, new Uint8Array(4)]], /relay must be 9 bytes/],
  ['a relay that is a number', [[peer, 2, 1, 9]], /relay must be 9 bytes/],
] as readonly [string, CborValue, RegExp][]) {
  rule(`refuses ${what}`, () => assert.throws(() => parse(value), error))
}

rule('are cut to what there is room for beside all that others need', () => {
  const all = Array.from(
    { length: PATH_REPORTS + 4 },
    (_, index): PathReport => ({
      ...{ peer: address(index), kind: 'relayed', roundTripMs: 60_000, relay: address(200) },
    }),
  )
  const update = (multiaddr: string): Omit<EndpointUpdate, 'paths'> => ({
    sequence: 2 ** 47,
    issuedAt: NOON,
    notAfter: seconds(NOON + 3600),
    candidates: Array.from({ length: CANDIDATES }, () => ({
      ...{ kind: 'server-reflexive' as const, address: '2001:db8::1' as never, port: 51820 },
    })),
    multiaddrs: Array.from({ length: MULTIADDRS }, () => multiaddr),
    natMapping: 'unknown',
    system: 's'.repeat(128),
  })
  for (const [length, fewest, most] of [
    [40, PATH_REPORTS, PATH_REPORTS],
    [128, 1, PATH_REPORTS - 1],
    [180, 0, 0],
  ] as const) {
    const said = update('/'.repeat(length))
    const paths = fittingPaths(said, all)
    assert.ok(paths.length >= fewest && paths.length <= most, `${paths.length} of ${length}`)
    const bytes = acme.endpoint(laptop, { ...said, paths })
    if (most > 0) assert.ok(bytes.length <= ENVELOPE_BYTES, `${bytes.length} bytes`)
    assert.equal(paths, all.slice(0, paths.length))
  }
})

rule.run()
