/** WireGuard's netlink: steps as attributes, and a dump as a device (linux/wireguard.h). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeAttribute, encodeNested, parseAttributes } from '../../../agent/host/netlink.ts'
import { NOBODY } from '../../../agent/tunnel/diff.ts'
import {
  deviceAttributes,
  parseDevice,
  peersAttributes,
  replacement,
  stepAttributes,
  update,
} from '../../../agent/tunnel/wireguard-netlink.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../../crypto/agreement.ts'
import { fromHex, toHex, utf8 } from '../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'

const keys = generateAgreementKeyPair()
const { publicKey } = keys
const X = parsePrefix('10.99.0.1/32')
const Y = parsePrefix('fd00::/64')

const rule = suite('WireGuard’s netlink')

/** Of each peer in these attributes, its fields in hexadecimal. */
function peersIn(attributes: readonly Uint8Array[]): readonly Record<number, string>[] {
  return attributes
    .flatMap((each) => parseAttributes(each))
    .map(({ value }) =>
      Object.fromEntries(parseAttributes(value).map((field) => [field.type, toHex(field.value)])),
    )
}

const ADDED =
  '1c000080' + '06000100' + '02000000' + '08000200' + '0a630001' + '05000300' + '20000000'
const ADDED_IPV6 =
  '28000080' +
  '06000100' +
  '0a000000' +
  '14000200' +
  'fd00'.padEnd(32, '0') +
  '05000300' +
  '40000000'

rule('adds to a peer without replacing what it has', () => {
  const step = { kind: 'set', publicKey, isNew: false, gained: [X, Y] } as const
  assert.equal(peersIn(stepAttributes(step)), [
    { 1: toHex(publicKey), 3: '04000000', 9: ADDED + ADDED_IPV6 },
  ])
})

rule('makes a new peer with all that is said of it', () => {
  const endpoint = parseEndpoint('[2001:db8::1]:1000')
  const step = {
    kind: 'set',
    publicKey,
    isNew: true,
    gained: [X],
    persistentKeepalive: 25,
    endpoint,
  } as const
  assert.equal(peersIn(stepAttributes(step)), [
    {
      1: toHex(publicKey),
      3: '00000000',
      4: '0a0003e8' + '00000000' + '20010db8000000000000000000000001' + '00000000',
      5: '1900',
      9: ADDED,
    },
  ])
})

rule('drops by way of a peer that is nobody, in one message', () => {
  const changes = [stepAttributes({ kind: 'drop', publicKey, dropped: [X] })]
  assert.is(peersAttributes(changes.flat()).length, 1)
  assert.equal(peersIn(changes.flat()), [
    { 1: toHex(NOBODY), 3: '00000000', 9: ADDED },
    { 1: toHex(NOBODY), 3: '01000000' },
  ])
})

rule('removes, replaces, and never makes a peer by changing one', () => {
  assert.equal(peersIn(stepAttributes({ kind: 'remove', publicKey })), [
    { 1: toHex(publicKey), 3: '01000000' },
  ])
  assert.equal(peersIn(replacement({ publicKey, allowedIps: [X], persistentKeepalive: 0 })), [
    { 1: toHex(publicKey), 3: '01000000' },
    { 1: toHex(publicKey), 3: '00000000', 5: '0000', 9: ADDED },
  ])
  const endpoint = parseEndpoint('192.0.2.1:51820')
  assert.equal(peersIn(update(publicKey, { endpoint })), [
    { 1: toHex(publicKey), 3: '04000000', 4: `0200ca6cc0000201${'0'.repeat(16)}` },
  ])
})

rule('says much in several messages, none of which is too long', () => {
  const many = Array.from({ length: 3000 }, (_, index) =>
    parsePrefix(`fd00::${(index + 1).toString(16)}/128`),
  )
  const changes = [
    stepAttributes({ kind: 'set', publicKey, isNew: true, gained: many }),
    ...Array.from({ length: 1000 }, () =>
      stepAttributes({ kind: 'set', publicKey, isNew: true, gained: [X] }),
    ),
  ]
  const messages = peersAttributes(changes.flat())
  assert.ok(messages.length > 2)
  const peers = messages
    .flatMap((message) => parseAttributes(message))
    .flatMap(({ value }) => parseAttributes(value))
  assert.is(peers.length, 1000 + Math.ceil(3000 / 512))
})

rule('reads a device, and a peer that goes on in the next message', () => {
  const peer = (fields: readonly Uint8Array[]): Uint8Array =>
    encodeNested(8, [encodeNested(0, [encodeAttribute(1, publicKey), ...fields])])
  const message = (...attributes: readonly Uint8Array[]) => attributes.flatMap(parseAttributes)
  const state = parseDevice([
    message(
      ...deviceAttributes({ privateKey: keys, listenPort: 51820 }),
      encodeAttribute(2, utf8('nx0\0')),
      peer([
        encodeAttribute(4, fromHex(`0200ca6cc0000201${'0'.repeat(16)}`)),
        encodeAttribute(5, Uint8Array.of(25, 0)),
        encodeAttribute(6, fromHex('80d25769000000000100000000000000')),
        encodeAttribute(7, fromHex('0a00000000000000')),
        encodeAttribute(8, fromHex('1400000000000000')),
        encodeNested(9, [fromHex(ADDED)]),
      ]),
    ),
    message(peer([encodeNested(9, [fromHex(ADDED_IPV6)])])),
  ])
  assert.is(
    toHex(privateBytesOf(state.privateKey ?? generateAgreementKeyPair())),
    toHex(privateBytesOf(keys)),
  )
  assert.is(state.listenPort, 51820)
  assert.equal(state.peers, [
    {
      publicKey,
      endpoint: parseEndpoint('192.0.2.1:51820'),
      persistentKeepalive: 25,
      latestHandshake: 1_767_363_200,
      receivedBytes: 10,
      sentBytes: 20,
      allowedIps: [X, Y],
    },
  ])
})

rule('reads a device with no key and no peer', () => {
  const none = [{ type: 3, value: new Uint8Array(32) }]
  assert.equal(parseDevice([none]), { listenPort: 0, peers: [] })
})

rule.run()
