import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseIpAddress } from '../../protocol/address.ts'
import { type CborValue, encodeCbor } from '../../protocol/codec.ts'
import { CANDIDATE_KINDS, type Candidate } from '../../protocol/endpoint-update.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { encodePunch, PUNCH_BYTES, parsePunch, SPRAY_STEPS } from '../../protocol/punch.ts'

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

rule('carries a step of a spraying round, in one frame with all candidates (SPEC §10.8)', () => {
  const steps = fc.tuple(fc.constantFrom(...SPRAY_STEPS), fc.oneof(fc.ipV4(), fc.ipV6()))
  fc.assert(
    fc.property(steps, candidates, ([step, address], list) => {
      const punch = {
        sequence: 1,
        candidates: list,
        spray: { step, address: parseIpAddress(address) },
      }
      const bytes = encodePunch(punch)
      assert.ok(bytes.length <= PUNCH_BYTES)
      assert.equal(parsePunch(bytes), punch)
    }),
  )
})

rule('ignores a step of a later version, and what it adds', () => {
  const address = new Uint8Array([198, 51, 100, 1])
  const parsed = (spray: CborValue) =>
    parsePunch(
      encodeCbor(
        new Map([
          [1, 7],
          [3, spray],
        ]),
      ),
    ).spray
  assert.is(parsed([3, address]), undefined)
  assert.is(parsed([255, address, 'more']), undefined)
  assert.equal(parsed([2, address, 'more']), { step: 'open', address: '198.51.100.1' })
})

rule('refuses a spray that is no list, has no step, no address, or too much in it', () => {
  const address = new Uint8Array([198, 51, 100, 1])
  for (const wrong of [
    1,
    [],
    [0],
    [-1, address],
    [256, address],
    ['ask', address],
    [0, '198.51.100.1'],
    [0, new Uint8Array(5)],
    [0, address, 0, 0, 0, 0, 0, 0, 0],
  ] satisfies CborValue[]) {
    assert.throws(
      () =>
        parsePunch(
          encodeCbor(
            new Map<CborValue, CborValue>([
              [1, 7],
              [3, wrong],
            ]),
          ),
        ),
      (error: unknown) => error instanceof MalformedError && /spray|address/.test(error.message),
      JSON.stringify(wrong),
    )
  }
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
