import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat } from '../../crypto/bytes.ts'
import { relayedKind } from '../../protocol/relay-datagram.ts'
import { encodeStun } from '../../protocol/stun.ts'
import { checkUsername } from '../../protocol/stun-credentials.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const key = new Uint8Array(32).fill(1)
const transactionId = new Uint8Array(12).fill(2)
const username = checkUsername(acme.device('a').id, acme.device('b').id)
const message = (type: number, length: number): Uint8Array =>
  concat(Uint8Array.of(type, 0, 0, 0), new Uint8Array(length - 4).fill(9))
const rule = suite('what a relay passes on (SPEC §12.2)')

rule("is each of WireGuard's messages, a full packet that is not padded included", () => {
  const lengths: readonly [number, number][] = [
    ...[[1, 148] as const, [2, 92] as const, [3, 64] as const].map(
      ([type, length]): [number, number] => [type, length],
    ),
    [4, 32],
    [4, 48],
    [4, 1452],
    [4, 1451],
    [4, 9216],
  ]
  for (const [type, length] of lengths) {
    assert.is(relayedKind(message(type, length)), 'wireguard', `${type} of ${length}`)
  }
})

rule('is no such message of another length, type or with bits in its reserved bytes', () => {
  for (const [type, length] of [
    [0, 148],
    [1, 147],
    [1, 149],
    [1, 92],
    [2, 148],
    [3, 92],
    [4, 31],
    [5, 64],
    [255, 64],
  ] as const) {
    assert.is(relayedKind(message(type, length)), undefined, `${type} of ${length}`)
  }
  for (const place of [1, 2, 3]) {
    const bytes = message(4, 64)
    bytes[place] = 1
    assert.is(relayedKind(bytes), undefined)
  }
  for (let length = 0; length < 4; length += 1) {
    assert.is(relayedKind(new Uint8Array(length).fill(4)), undefined)
  }
})

rule('is a check and its answer', () => {
  assert.is(relayedKind(encodeStun({ kind: 'request', transactionId, username }, key)), 'check')
  assert.is(relayedKind(encodeStun({ kind: 'success', transactionId }, key)), 'check')
})

rule('is no STUN without credentials, without a name, cut short or with a changed bit', () => {
  assert.is(relayedKind(encodeStun({ kind: 'request', transactionId })), undefined)
  assert.is(relayedKind(encodeStun({ kind: 'request', transactionId }, key)), undefined)
  const check = encodeStun({ kind: 'request', transactionId, username }, key)
  for (let length = 0; length < check.length; length += 1) {
    assert.is(relayedKind(check.subarray(0, length)), undefined)
  }
  for (let place = 0; place < check.length; place += 1) {
    const changed = Uint8Array.from(check)
    changed[place] = (changed[place] ?? 0) ^ 1
    assert.is(relayedKind(changed), undefined, `byte ${place}`)
  }
})

rule('is none of what people might tunnel otherwise, and asking never throws', () => {
  for (const text of [
    'GET / HTTP/1.1\r\n\r\n',
    'SSH-2.0-OpenSSH_9.9\r\n',
    '\x16\x03\x01\x02\x00',
  ]) {
    assert.is(relayedKind(Buffer.from(text)), undefined)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const kind = relayedKind(bytes)
      assert.ok(kind === undefined || kind === 'wireguard' || kind === 'check')
    }),
  )
})

rule.run()
