import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseIpAddress } from '../../protocol/address.ts'
import { CANDIDATE_KINDS, type Candidate } from '../../protocol/endpoint-update.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { encodePunch, PUNCH_BYTES, parsePunch } from '../../protocol/punch.ts'

const rule = suite('punch (SPEC §7.3)')

const candidates = fc.array(
  fc
    .tuple(
      fc.constantFrom(...CANDIDATE_KINDS),
      fc.oneof(fc.ipV4(), fc.ipV6()).map(parseIpAddress),
      fc.integer({ min: 1, max: 65535 }),
    )
    .map(([kind, address, port]): Candidate => ({ kind, address, port })),
  { maxLength: CANDIDATES },
)

rule('reads what it wrote, and fits one frame with all candidates', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 }), candidates, (sequence, list) => {
      const bytes = encodePunch({ sequence, candidates: list })
      assert.ok(bytes.length <= PUNCH_BYTES)
      assert.equal(parsePunch(bytes), { sequence, candidates: list })
    }),
  )
})

rule('reads a punch or throws MalformedError, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        assert.equal(encodePunch(parsePunch(bytes)), bytes)
      } catch (error) {
        assert.instance(error, MalformedError)
      }
    }),
  )
})

rule('refuses port 0, too many candidates and a sequence that is no whole number', () => {
  const one: Candidate = { kind: 'host', address: parseIpAddress('192.0.2.1'), port: 51820 }
  for (const wrong of [
    { sequence: 1, candidates: [{ ...one, port: 0 }] },
    { sequence: 1, candidates: [{ ...one, port: 65536 }] },
    { sequence: 1, candidates: Array.from({ length: CANDIDATES + 1 }, () => one) },
    { sequence: -1, candidates: [one] },
    { sequence: 2 ** 48 + 1, candidates: [] },
  ]) {
    assert.throws(
      () => parsePunch(encodePunch(wrong)),
      (error: unknown) => error instanceof MalformedError,
    )
  }
})

rule.run()
