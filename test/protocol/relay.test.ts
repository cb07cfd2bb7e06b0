import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat, toHex } from '../../crypto/bytes.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  DATAGRAM_BYTES,
  encodeRelayFrame,
  parseRelayFrames,
  type RelayFrame,
  relayAddressOf,
} from '../../protocol/relay.ts'
import { testOrganization } from '../support/organization.ts'

const rule = suite('relay frames (SPEC §7.4)')

const frames = fc.array(
  fc.record<RelayFrame>({
    peer: fc.uint8Array({ minLength: 9, maxLength: 9 }).map(toHex),
    datagram: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 12 },
)

rule('names a device by 18 hex digits that depend on its key alone', () => {
  const [a, b] = [testOrganization('acme').device('a'), testOrganization('acme').device('b')]
  assert.match(relayAddressOf(a.id), /^[0-9a-f]{18}$/)
  assert.is(relayAddressOf(a.id), relayAddressOf(testOrganization('acme').device('a').id))
  assert.is.not(relayAddressOf(a.id), relayAddressOf(b.id))
})

rule('cuts a stream into the frames written, wherever the network cut it', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 400 })), (written, cuts) => {
      const stream = concat(...written.map(encodeRelayFrame))
      const read: RelayFrame[] = []
      let rest: Uint8Array = new Uint8Array(0)
      let offset = 0
      for (const cut of [...cuts, stream.length]) {
        const parsed = parseRelayFrames(concat(rest, stream.subarray(offset, offset + cut)))
        read.push(...parsed.frames)
        rest = parsed.rest
        offset = Math.min(stream.length, offset + cut)
      }
      assert.equal(
        read.map(({ peer, datagram }) => [peer, toHex(datagram)]),
        written.map(({ peer, datagram }) => [peer, toHex(datagram)]),
      )
      assert.is(rest.length, 0)
    }),
  )
})

rule('gives frames and a rest, or throws MalformedError, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4000 }), (bytes) => {
      try {
        const parsed = parseRelayFrames(bytes)
        const again = concat(...parsed.frames.map(encodeRelayFrame), parsed.rest)
        assert.is(toHex(again), toHex(bytes))
      } catch (error) {
        assert.instance(error, MalformedError)
      }
    }),
  )
})

rule('refuses a length that leaves no room for an address, and one beyond a datagram', () => {
  for (const length of [0, 8, 9 + DATAGRAM_BYTES + 1, 65535]) {
    const head = Uint8Array.of(length >> 8, length & 255)
    assert.throws(
      () => parseRelayFrames(head),
      (error: unknown) => error instanceof MalformedError,
    )
  }
})

rule('takes the largest datagram and the empty one', () => {
  for (const size of [0, DATAGRAM_BYTES]) {
    const frame = { peer: '00'.repeat(9), datagram: new Uint8Array(size).fill(7) }
    const parsed = parseRelayFrames(encodeRelayFrame(frame))
    assert.equal([parsed.frames.length, parsed.frames[0]?.datagram.length], [1, size])
  }
})

rule.run()
