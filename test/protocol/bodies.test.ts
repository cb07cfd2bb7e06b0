import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CborMap, type CborValue, decodeCbor } from '../../protocol/codec.ts'
import { encodeSigned } from '../../protocol/cose.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const rule = suite('bodies of envelopes (SPEC §4–6, §9)')

const lock = { approvers: [laptop.key.publicKey], since: NOON }
const samples = {
  'issuer-certificate': { bytes: acme.issuerCertificate(), key: acme.root },
  'issuer-certificate/2': { bytes: acme.issuerCertificate({ lock }), key: acme.root },
  approval: { bytes: acme.approval(laptop, acme.device('phone')), key: laptop.key },
  'membership-certificate': { bytes: acme.certificate(laptop), key: acme.issuer },
  manifest: { bytes: acme.manifest(), key: acme.issuer },
  'endpoint-update': { bytes: acme.endpoint(laptop), key: laptop.key },
  'route-advertisement': { bytes: acme.route(laptop, '10.99.0.1/32'), key: laptop.key },
} as const
type SampleKind = keyof typeof samples

/** The sample truly signed again with one claim changed (or removed): what opening it says. */
function outcome(kind: SampleKind, claim: number, value: CborValue | undefined): string {
  const { bytes, key } = samples[kind]
  const envelope = decodeCbor(bytes, 'sample')
  const payload =
    Array.isArray(envelope) && envelope[2] instanceof Uint8Array
      ? decodeCbor(envelope[2], 'payload')
      : undefined
  assert.ok(payload instanceof Map)
  const changed: CborMap = new Map(payload)
  if (value === undefined) changed.delete(claim)
  else changed.set(claim, value)
  try {
    openEnvelope(encodeSigned(`nexodus/${kind}`, changed, key))
    return 'opened'
  } catch (error) {
    assert.instance(error, MalformedError)
    return error instanceof Error ? error.message : ''
  }
}

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(1)
const many = (count: number, item: CborValue): CborValue =>
  Array.from({ length: count }, () => item)

const refused: readonly [SampleKind, string, number, CborValue | undefined, RegExp][] = [
  ['membership-certificate', 'no notAfter', 4, undefined, /notAfter must be a whole number/],
  [
    'membership-certificate',
    'a lifetime over 30 days',
    4,
    NOON + 31 * 86_400,
    /lasts \d+ s, want 1 to 2592000/,
  ],
  ['membership-certificate', 'an end before its beginning', 4, NOON - 3600, /lasts -\d+ s/],
  ['membership-certificate', 'a serial of 7 bytes', 7, bytes(7), /serial has 7 bytes, want 8/],
  [
    'membership-certificate',
    'a device key of small order',
    -65537,
    new Uint8Array(32),
    /device key: not an Ed25519/,
  ],
  [
    'membership-certificate',
    'an all-zero WireGuard key',
    -65538,
    new Uint8Array(32),
    /WireGuard key/,
  ],
  [
    'membership-certificate',
    'a name with a dot',
    -65539,
    'a.b',
    /device name "a\.b": want 1 to 63/,
  ],
  ['membership-certificate', 'an upper-case name', -65539, 'Laptop', /device name/],
  [
    'membership-certificate',
    'a name of 64 characters',
    -65539,
    'a'.repeat(64),
    /name has 64 characters, want at most 63/,
  ],
  [
    'membership-certificate',
    'an owner with an escape sequence',
    -65540,
    'ada\u001b[2J',
    /owner holds control characters/,
  ],
  [
    'membership-certificate',
    'five addresses',
    -65541,
    many(5, '100.64.0.1/32'),
    /addresses has 5 items, want at most 4/,
  ],
  [
    'membership-certificate',
    'an address that is a network',
    -65541,
    ['100.64.0.0/10'],
    /want a \/32 or a \/128/,
  ],
  ['membership-certificate', 'a prefix with host bits', -65543, ['10.0.0.1/8'], /host bits/],
  [
    'membership-certificate',
    'a prefix that is not canonical',
    -65543,
    ['FD00::/16'],
    /canonical form is "fd00::\/16"/,
  ],
  ['issuer-certificate', 'a lifetime over 90 days', 4, NOON + 91 * 86_400, /want 1 to 7776000/],
  ['manifest', 'sequence 0', -65537, 0, /sequence is 0, want 1/],
  ['manifest', 'a predecessor in the first', -65538, bytes(32), /previous has 32 bytes, want 0/],
  ['manifest', 'a revocation without its end', -65541, [[bytes(8)]], /revocation: want/],
  [
    'manifest',
    'too many revocations',
    -65541,
    many(2001, [bytes(8), NOON]),
    /revocations has 2001 items, want at most 2000/,
  ],
  ['manifest', 'no policy', -65544, undefined, /policy: want \[version, body\]/],
  [
    'manifest',
    'a body in policy version 0',
    -65544,
    [0, new Map([[1, 1]])],
    /version 0 has no body/,
  ],
  ['endpoint-update', 'sequence 0', -65537, 0, /sequence is 0/],
  ['endpoint-update', 'a lifetime over a day', 4, NOON + 2 * 86_400, /want 1 to 86400/],
  [
    'endpoint-update',
    'seventeen candidates',
    -65538,
    many(17, [0, bytes(4), 1]),
    /candidates has 17 items, want at most 16/,
  ],
  [
    'endpoint-update',
    'a candidate of five bytes',
    -65538,
    [[0, bytes(5), 1]],
    /IP address of 5 bytes/,
  ],
  [
    'endpoint-update',
    'a candidate at port 0',
    -65538,
    [[0, bytes(4), 0]],
    /port is 0, want 1 to 65535/,
  ],
  [
    'endpoint-update',
    'nine multiaddrs',
    -65539,
    many(9, '/ip4/1.2.3.4/tcp/1'),
    /multiaddrs has 9 items/,
  ],
  ['endpoint-update', 'NAT reports that are no list', -65542, 7, /NAT reports must be an array/],
  [
    'endpoint-update',
    'three NAT reports',
    -65542,
    many(3, [4, 0, 0, 0, 0, 0, 0]),
    /NAT reports has 3 items, want at most 2/,
  ],
  [
    'endpoint-update',
    'a family reported twice',
    -65542,
    many(2, [4, 0, 0, 0, 0, 0, 0]),
    /NAT reports reports a family twice/,
  ],
  [
    'endpoint-update',
    'a NAT report of six items',
    -65542,
    [[4, 0, 0, 0, 0, 0]],
    /NAT report: want a list of 7 to 16 items/,
  ],
  [
    'endpoint-update',
    'a NAT report of seventeen items',
    -65542,
    [[4, ...Array.from({ length: 16 }, () => 0)]],
    /NAT report: want a list of 7 to 16 items/,
  ],
  ['endpoint-update', 'family 5', -65542, [[5, 0, 0, 0, 0, 0, 0]], /family is not 4 or 6/],
  [
    'endpoint-update',
    'a NAT in words',
    -65542,
    [[4, 'none', 0, 0, 0, 0, 0]],
    /mapping is not 0 to/,
  ],
  ['endpoint-update', 'filtering -1', -65542, [[4, 0, -1, 0, 0, 0, 0]], /filtering is not 0 to/],
  ['endpoint-update', 'hairpinning true', -65542, [[4, 0, 0, true, 0, 0, 0]], /hairpinning is not/],
  ['endpoint-update', 'UDP 256', -65542, [[4, 0, 0, 0, 0, 256, 0]], /UDP state is not 0 to 255/],
  [
    'endpoint-update',
    'a lifetime over a day',
    -65542,
    [[4, 0, 0, 0, 0, 0, 86_401]],
    /lifetime is not 0 to 86400/,
  ],
  [
    'issuer-certificate',
    'approvers, which the first version does not know',
    -65540,
    [laptop.key.publicKey],
    /approvers take the type nexodus\/issuer-certificate\/2/,
  ],
  ['issuer-certificate/2', 'no approvers', -65540, [], /no approvers, want one/],
  ['issuer-certificate/2', 'approvers left out', -65540, undefined, /no approvers, want one/],
  [
    'issuer-certificate/2',
    '17 approvers',
    -65540,
    many(17, bytes(32)),
    /17 items, want at most 16/,
  ],
  ['issuer-certificate/2', 'text for an approver', -65540, ['laptop'], /approvers must be bytes/],
  [
    'issuer-certificate/2',
    'an approver of small order',
    -65540,
    [new Uint8Array(32)],
    /approvers: not an Ed25519 public key/,
  ],
  [
    'issuer-certificate/2',
    'an approver named twice',
    -65540,
    [laptop.key.publicKey, laptop.key.publicKey],
    /named twice/,
  ],
  ['issuer-certificate/2', 'no beginning', -65541, undefined, /locked since must be a whole/],
  ['approval', 'no sequence', -65537, undefined, /sequence must be a whole number/],
  ['approval', 'sequence 0', -65537, 0, /sequence is 0, want 1/],
  ['approval', 'no device', -65538, undefined, /device key must be bytes/],
  ['approval', 'a device key of small order', -65538, new Uint8Array(32), /not an Ed25519/],
  ['approval', 'a WireGuard key of 31 bytes', -65539, bytes(31), /WireGuard key has 31 bytes/],
  ['approval', 'a decision of a later version', -65540, 2, /decision is 2, want 0 to 1/],
  ['approval', 'no moment', 6, undefined, /issuedAt must be a whole number/],
  ['route-advertisement', 'an unknown state', -65541, 9, /state is 9, want 0 to 2/],
  ['route-advertisement', 'a negative epoch', -65539, -1, /epoch is -1/],
  [
    'route-advertisement',
    'a probe of a host outside its prefix',
    -65542,
    'tcp:10.99.0.2:443',
    /10\.99\.0\.2 is not in 10\.99\.0\.1\/32/,
  ],
  ['route-advertisement', 'a probe by name', -65542, 'icmp:db.example.org', /IP address/],
  ['route-advertisement', 'a probe of another kind', -65542, 'udp:10.99.0.1:53', /want icmp:/],
  [
    'route-advertisement',
    'a probe that is not canonical',
    -65542,
    'http://10.99.0.1/up',
    /canonical form is "http:\/\/10\.99\.0\.1:80\/up"/,
  ],
  [
    'route-advertisement',
    'a probe of 129 characters',
    -65542,
    `http://10.99.0.1:80/${'a'.repeat(109)}`,
    /probe has 129 characters, want at most 128/,
  ],
  ['route-advertisement', 'priority 0', -65543, 0, /priority is 0, want 1 to 254/],
  ['route-advertisement', 'a hand-over of a minute', -65544, 60_000, /hand-over is 60000/],
  ['route-advertisement', 'a successor of small order', -65545, new Uint8Array(32), /successor/],
]
for (const [kind, what, claim, value, message] of refused) {
  rule(`refuses ${kind} with ${what}, and says so`, () =>
    assert.match(outcome(kind, claim, value), message),
  )
}

rule('reads enumerations of a later version as what it knows least about', () => {
  assert.is(outcome('endpoint-update', -65540, 77), 'opened')
  assert.is(outcome('endpoint-update', -65538, [[9, bytes(4), 5]]), 'opened')
  assert.is(outcome('endpoint-update', -65542, [[6, 99, 99, 99, 99, 99, 0, 'more']]), 'opened')
  assert.is(outcome('membership-certificate', -65544, ['relay', 'from-the-future']), 'opened')
})

rule.run()
