import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { decodeCbor, encodeCbor } from '../../protocol/codec.ts'
import { encodeSigned } from '../../protocol/cose.ts'
import { envelopeId, openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import { encodeIssuerCertificate } from '../../protocol/issuer-certificate.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const rule = suite('envelope (SPEC §3)')

const samples: Readonly<Record<string, Uint8Array>> = {
  'issuer-certificate': acme.issuerCertificate(),
  'membership-certificate': acme.certificate(laptop),
  approval: acme.approval(laptop, acme.device('phone')),
  manifest: acme.manifest(),
  'endpoint-update': acme.endpoint(laptop),
  'route-advertisement': acme.route(laptop, '10.99.0.1/32'),
}

const outcome = (bytes: Uint8Array): string => {
  try {
    return openEnvelope(bytes).kind
  } catch (error) {
    if (error instanceof MalformedError || error instanceof BadSignatureError) return error.code
    throw error
  }
}

/** The second version of a kind. */
const locked = acme.issuerCertificate({
  lock: { approvers: [laptop.key.publicKey], since: seconds(NOON - 3600) },
})

rule('opens what was sealed, each kind as itself', () => {
  for (const [kind, bytes] of Object.entries(samples)) assert.is(openEnvelope(bytes).kind, kind)
  assert.is(openEnvelope(locked).kind, 'issuer-certificate')
})

rule(
  'pins the signed bytes of every kind: a change of encoding breaks every agent in the field',
  () => {
    const pinned: unknown = JSON.parse(
      readFileSync(new URL('../vectors/envelopes.json', import.meta.url), 'utf8'),
    )
    assert.equal(
      Object.fromEntries(
        Object.entries({ ...samples, 'issuer-certificate/2': locked }).map(([kind, bytes]) => [
          kind,
          toHex(bytes),
        ]),
      ),
      pinned,
    )
  },
)

rule('refuses a flip of any bit', () => {
  for (const bytes of Object.values(samples)) {
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.match(outcome(flipped), /^ERR_/)
    }
  }
})

rule('refuses every truncation and any byte appended', () => {
  for (const bytes of Object.values(samples)) {
    for (let length = 0; length < bytes.length; length += 1) {
      assert.is(outcome(bytes.subarray(0, length)), 'ERR_MALFORMED')
    }
    assert.is(outcome(Uint8Array.of(...bytes, 0)), 'ERR_MALFORMED')
  }
})

rule('returns a value or one typed error for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
      assert.is(outcome(bytes), 'ERR_MALFORMED'),
    ),
    {
      numRuns: 2000,
    },
  )
})

rule('returns a value or one typed error for any truly signed body', () => {
  const cbor = fc.letrec((tie) => ({
    value: fc.oneof(
      fc.integer({ min: -70_000, max: 2 ** 41 }),
      fc.string({ maxLength: 12 }),
      fc.uint8Array({ maxLength: 34 }),
      fc.boolean(),
      fc.array(tie('value'), { maxLength: 4 }),
    ),
  })).value
  const keys = fc.constantFrom(
    1,
    4,
    5,
    6,
    7,
    ...Array.from({ length: 10 }, (_, index) => -65537 - index),
  )
  const kinds = fc.constantFrom(...Object.keys(samples), 'proof')
  fc.assert(
    fc.property(kinds, fc.array(fc.tuple(keys, cbor), { maxLength: 12 }), (kind, entries) => {
      const map = new Map<never, never>(entries as unknown as [never, never][])
      map.set(1 as never, acme.id as never)
      assert.type(outcome(encodeSigned(`nexodus/${kind}`, map, laptop.key)), 'string')
    }),
    { numRuns: 1500 },
  )
})

rule('refuses an envelope signed for another kind', () => {
  const value = decodeCbor(samples['endpoint-update'] ?? new Uint8Array(), 'sample')
  assert.ok(Array.isArray(value))
  const other = decodeCbor(samples['route-advertisement'] ?? new Uint8Array(), 'sample')
  assert.ok(Array.isArray(other))
  assert.is(
    outcome(encodeCbor([other[0] ?? null, new Map(), value[2] ?? null, value[3] ?? null])),
    'ERR_BAD_SIGNATURE',
  )
})

rule('refuses an unprotected header, another algorithm and an unknown type', () => {
  const value = decodeCbor(samples['manifest'] ?? new Uint8Array(), 'sample')
  assert.ok(Array.isArray(value))
  assert.is(
    outcome(encodeCbor([value[0] ?? null, new Map([[1, 2]]), value[2] ?? null, value[3] ?? null])),
    'ERR_MALFORMED',
  )
  assert.is(outcome(encodeSigned('nexodus/unheard-of', new Map(), laptop.key)), 'ERR_MALFORMED')
  assert.is(outcome(encodeSigned('other/manifest', new Map(), laptop.key)), 'ERR_MALFORMED')
})

rule('refuses a signer whose key is of small order, whatever the signature', () => {
  const identity = fromHex(`01${'00'.repeat(31)}`)
  const header = encodeCbor(
    new Map<number, number | string | Uint8Array>([
      [1, -19],
      [4, identity],
      [16, 'nexodus/proof'],
    ]),
  )
  const fixed = fromHex(`01${'00'.repeat(63)}`)
  assert.is(outcome(encodeCbor([header, new Map(), encodeCbor(new Map()), fixed])), 'ERR_MALFORMED')
})

rule('refuses an issuer certificate that another root signed', () => {
  const other = signingKeyPairFromSeed<'root'>(new Uint8Array(32).fill(3))
  const claims = encodeIssuerCertificate({
    key: acme.issuer.publicKey,
    notBefore: NOON,
    notAfter: seconds(NOON + 86_400),
    ranges: [],
    longestMembership: seconds(60),
  })
  assert.is(outcome(sealEnvelope('issuer-certificate', acme.id, claims, other)), 'ERR_MALFORMED')
})

rule('refuses what is larger than its kind may be, before it verifies anything', () => {
  assert.is(outcome(new Uint8Array(61_441)), 'ERR_MALFORMED')
  const claims = new Map([[-70_000, new Uint8Array(2100)]])
  assert.throws(
    () => openEnvelope(sealEnvelope('endpoint-update', acme.id, claims, laptop.key)),
    /endpoint-update: 2\d+ bytes, want at most 2048/,
  )
})

rule('ignores a claim of a later version', () => {
  const opened = openEnvelope(samples['endpoint-update'] ?? new Uint8Array())
  assert.is(opened.id, envelopeId(opened.bytes))
  const value = decodeCbor(opened.bytes, 'sample')
  const payload =
    Array.isArray(value) && value[2] instanceof Uint8Array
      ? decodeCbor(value[2], 'payload')
      : undefined
  assert.ok(payload instanceof Map)
  payload.set(-70_000, 'from the future')
  assert.is(
    outcome(encodeSigned('nexodus/endpoint-update', payload, laptop.key)),
    'endpoint-update',
  )
})

rule.run()
