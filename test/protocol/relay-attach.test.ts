import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { deviceIdOf, parseOrganizationId } from '../../protocol/keys.ts'
import {
  ATTACH_ANSWER_BYTES,
  ATTACH_REQUEST_BYTES,
  isAttachRequest,
  isAuthenticRequest,
  openAttachAnswer,
  parseAttachRequest,
  relayIdOf,
  sealAttachAnswer,
  sealAttachRequest,
} from '../../protocol/relay-attach.ts'
import { isRelayDatagram } from '../../protocol/relay-udp.ts'
import { isStun } from '../../protocol/stun.ts'

const FIELDS = ['device_seed', 'relay_seed', 'client_ephemeral', 'relay_ephemeral', 'to'] as const
const TEXTS = [...FIELDS, 'organization', 'session', 'request', 'answer', 'key'] as const
const VECTOR = z
  .object({ sent_at_ms: z.number() })
  .and(z.record(z.enum(TEXTS), z.string()))
  .parse(JSON.parse(readFileSync(new URL('../vectors/relay/attach.json', import.meta.url), 'utf8')))
const device = signingKeyPairFromSeed<'device'>(fromHex(VECTOR.device_seed))
const relay = signingKeyPairFromSeed<'rendezvous'>(fromHex(VECTOR.relay_seed))
const ours = agreementKeyPairFromPrivate(fromHex(VECTOR.client_ephemeral))
const theirs = agreementKeyPairFromPrivate(fromHex(VECTOR.relay_ephemeral))
const asked = {
  to: VECTOR.to,
  organization: parseOrganizationId(VECTOR.organization),
  ephemeral: ours.publicKey,
  sentAtMs: VECTOR.sent_at_ms,
}
const request = sealAttachRequest(asked, device)
const parts = { key: relay, session: fromHex(VECTOR.session), ephemeral: theirs }
const relays = new Set([relayIdOf(relay.publicKey)])
const parsed = parseAttachRequest(request)
if (parsed === undefined) throw new Error('the request of the vector is none')
const { answer, keys } = sealAttachAnswer(parsed, request, parts)
const anyByte = (length: number) =>
  fc.record({ at: fc.nat(length - 1), by: fc.integer({ min: 1, max: 255 }) })
const changed = (bytes: Uint8Array, { at, by }: { at: number; by: number }): Uint8Array =>
  bytes.map((byte, index) => (index === at ? byte ^ by : byte))
const rule = suite('attaching to a relay (SPEC §12.7)')

rule('has the bytes of the vector, and one key at both ends', () => {
  assert.is(toHex(request), VECTOR.request)
  assert.equal(parsed, { ...asked, device: deviceIdOf(device.publicKey) })
  assert.ok(isAuthenticRequest(request, parsed))
  assert.is(toHex(answer), VECTOR.answer)
  assert.equal(keys, { session: VECTOR.session, key: fromHex(VECTOR.key) })
  const opened = openAttachAnswer(answer, request, ours.privateKey, relays)
  assert.equal(opened, { relay: relayIdOf(relay.publicKey), keys })
})

rule('is no other datagram of the port, and its answer is shorter than what asks', () => {
  assert.is(request.length, ATTACH_REQUEST_BYTES)
  assert.is(answer.length, ATTACH_ANSWER_BYTES)
  assert.ok(answer.length < request.length)
  for (const bytes of [request, answer])
    assert.not(isStun(bytes) || isRelayDatagram(bytes, 'to-relay'))
  assert.not(isAttachRequest(answer))
})

rule('believes no request with a byte that is another', () => {
  fc.assert(
    fc.property(anyByte(request.length), (change) => {
      const other = changed(request, change)
      const read = parseAttachRequest(other)
      return read === undefined || !isAuthenticRequest(other, read)
    }),
  )
})

rule('believes no answer with a byte that is another, nor to another request', () => {
  fc.assert(
    fc.property(anyByte(answer.length), (change) => {
      const other = changed(answer, change)
      return openAttachAnswer(other, request, ours.privateKey, relays) === undefined
    }),
  )
  const later = sealAttachRequest({ ...asked, sentAtMs: asked.sentAtMs + 1 }, device)
  assert.is(openAttachAnswer(answer, later, ours.privateKey, relays), undefined)
})

rule('believes no relay but those that it asked', () => {
  assert.is(openAttachAnswer(answer, request, ours.privateKey, new Set()), undefined)
  const rogue = signingKeyPairFromSeed<'rendezvous'>(new Uint8Array(32).fill(9))
  const forged = sealAttachAnswer(parsed, request, { ...parts, key: rogue }).answer
  assert.is(openAttachAnswer(forged, request, ours.privateKey, relays), undefined)
})

rule('takes what is no request for none, of any length and content', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      if (isAttachRequest(bytes)) return
      assert.is(parseAttachRequest(bytes), undefined)
      assert.is(openAttachAnswer(bytes, request, ours.privateKey, relays), undefined)
    }),
  )
  const small = changed(request, { at: 0, by: 0 }).fill(0, 58, 90)
  assert.is(parseAttachRequest(small), undefined, 'a key of small order')
})

rule.run()
