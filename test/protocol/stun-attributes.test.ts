import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex, utf8 } from '../../crypto/bytes.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { encodeStun, parseStun, type StunMessage } from '../../protocol/stun.ts'
import { stunMessageOf, TRANSACTION_ID as TRANSACTION } from '../support/stun-message.ts'

const rule = suite('STUN attributes (SPEC §10, RFC 8489 §14)')

const REQUEST: StunMessage = {
  kind: 'request',
  transactionId: TRANSACTION,
  priority: 1_845_501_695,
  useCandidate: true,
  username: 'AAAAAAAAAAAA:BBBBBBBBBBBB',
}
const FAILURE: StunMessage = {
  kind: 'error',
  transactionId: TRANSACTION,
  error: { code: 420, reason: 'Unknown Attribute' },
  unknownAttributes: [0x7fff, 0x001e],
}

const refused = (bytes: Uint8Array, message: RegExp): void =>
  assert.throws(
    () => parseStun(bytes),
    (error: unknown) =>
      error instanceof MalformedError &&
      error.code === 'ERR_MALFORMED' &&
      message.test(error.message),
  )

rule('refuses values of a wrong form, naming the attribute', () => {
  const values: readonly [number, string, RegExp][] = [
    [0x0006, 'ff', /USERNAME/],
    [0x0006, '61'.repeat(509), /USERNAME.*509 bytes, limit 508/],
    [0x8022, 'c328', /SOFTWARE/],
    [0x0024, '000000', /PRIORITY.*3 bytes, want 4/],
    [0x0025, '00', /USE-CANDIDATE.*1 bytes, want 0/],
    [0xc6e0, '00000000000000', /RECEIVED-BYTES.*7 bytes, want 8/],
    [0xc6e0, '0020000000000000', /RECEIVED-BYTES.*limit 2\^53 - 1/],
    [0x0020, '', /XOR-MAPPED-ADDRESS.*family missing/],
    [0x0020, '0003a147e112a643', /XOR-MAPPED-ADDRESS.*family 3/],
    [0x0020, '0001a147e112a6', /XOR-MAPPED-ADDRESS.*7 bytes, want 8/],
    [0x0020, '0002a147e112a643', /XOR-MAPPED-ADDRESS.*8 bytes, want 20/],
    [0x0020, '00012112e112a643', /XOR-MAPPED-ADDRESS.*port 0/],
    [0x0001, '00010000c0000201', /MAPPED-ADDRESS.*port 0/],
    [0x0009, '000003', /ERROR-CODE/],
    [0x0009, '00000200', /ERROR-CODE.*code 200/],
    [0x0009, '00000700', /ERROR-CODE.*code 700/],
    [0x0009, '00000464', /ERROR-CODE.*code 500/],
    [0x000a, '000102', /UNKNOWN-ATTRIBUTES.*3 bytes/],
    [0x0027, '0d', /RESPONSE-PORT.*1 bytes, want 2 or 4/],
    [0x0027, '0d9600', /RESPONSE-PORT.*3 bytes, want 2 or 4/],
    [0x0027, '0000', /RESPONSE-PORT.*port 0/],
    [0x001c, '00'.repeat(16), /attribute 28: 16 bytes, want 32/],
    [0x8028, '00', /attribute 32808: 1 bytes, want 4/],
  ]
  for (const [type, value, message] of values)
    refused(stunMessageOf(1, [type, fromHex(value)]), message)
})

rule('reports what asks to be understood and is not, each once; ignores what does not ask', () => {
  const nothing = new Uint8Array(0)
  const message = stunMessageOf(1, [0x7fff, nothing], [0x8000, nothing], [0x7fff, nothing])
  assert.equal(parseStun(message).unknownRequired, [0x7fff])
})

rule('reads RESPONSE-PORT with its padding counted in or not (RFC 5780 §7.5)', () => {
  for (const value of ['0d96', '0d960000', '0d96ffff'])
    assert.is(parseStun(stunMessageOf(1, [0x0027, fromHex(value)])).responsePort, 3478)
  const sent = encodeStun({ kind: 'request', transactionId: TRANSACTION, responsePort: 65_535 })
  assert.is(parseStun(sent).responsePort, 65_535)
  for (const responsePort of [0, 65_536, 1.5])
    assert.throws(
      () => encodeStun({ kind: 'request', transactionId: TRANSACTION, responsePort }),
      /response port/,
    )
})

rule('believes the first of two like attributes', () => {
  const message = stunMessageOf(1, [0x0006, utf8('first')], [0x0006, utf8('second')])
  assert.is(parseStun(message).username, 'first')
})

rule('believes XOR-MAPPED-ADDRESS before MAPPED-ADDRESS, whichever comes first', () => {
  const plain: [number, Uint8Array] = [0x0001, fromHex('00011f90c6336401')]
  const mixed: [number, Uint8Array] = [0x0020, fromHex('0001a147e112a643')]
  const address = { address: '192.0.2.1', port: 32853 }
  assert.equal(parseStun(stunMessageOf(0x0101, plain, mixed)).mappedAddress, address)
  assert.equal(parseStun(stunMessageOf(0x0101, mixed, plain)).mappedAddress, address)
  assert.equal(parseStun(stunMessageOf(0x0101, plain)).mappedAddress, {
    address: '198.51.100.1',
    port: 8080,
  })
})

rule('refuses to encode what the format cannot hold', () => {
  const bad: readonly StunMessage[] = [
    { ...REQUEST, transactionId: new Uint8Array(11) },
    { ...REQUEST, username: 'u'.repeat(509) },
    { ...REQUEST, priority: 2 ** 32 },
    { ...REQUEST, priority: 0.5 },
    { ...FAILURE, error: { code: 200, reason: '' } },
    { ...FAILURE, unknownAttributes: Array.from({ length: 700 }, () => 1) },
  ]
  for (const message of bad) {
    assert.throws(
      () => encodeStun(message),
      (error: unknown) => error instanceof RangeError,
    )
  }
})

rule.run()
