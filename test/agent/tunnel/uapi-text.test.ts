/** UAPI text against the protocol's description (wireguard.com/xplatform). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DeviceState } from '../../../agent/tunnel/device.ts'
import {
  changeLines,
  deviceStateOf,
  newUapiMemory,
  replaceLines,
  type UapiMemory,
  updateLines,
} from '../../../agent/tunnel/uapi-text.ts'
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../../crypto/agreement.ts'
import { fromHex } from '../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'

const KEY = 'b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33'
const PRIVATE = 'e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a'
const publicKey = parseAgreementPublicKey(fromHex(KEY))
const X = parsePrefix('10.99.0.1/32')

const rule = suite('UAPI text')

rule('writes a device and a new peer', () => {
  const lines = changeLines({
    privateKey: agreementKeyPairFromPrivate(fromHex(PRIVATE)),
    listenPort: 12912,
    peers: [
      {
        kind: 'set',
        publicKey,
        isNew: true,
        endpoint: parseEndpoint('[2001:db8::1]:1000'),
        persistentKeepalive: 25,
        gained: [X],
      },
    ],
  })
  assert.equal(lines, [
    `private_key=${PRIVATE}`,
    'listen_port=12912',
    `public_key=${KEY}`,
    'endpoint=[2001:db8::1]:1000',
    'persistent_keepalive_interval=25',
    'allowed_ip=10.99.0.1/32',
  ])
})

rule('has no words for a peer that may send late', () => {
  assert.equal(changeLines({ peers: [{ kind: 'late', publicKey, prefixes: [X] }] }), [])
})

rule('never makes a peer by changing one', () => {
  const set = { kind: 'set', publicKey, isNew: false, gained: [X] } as const
  assert.equal(changeLines({ peers: [set] }), [
    `public_key=${KEY}`,
    'update_only=true',
    'allowed_ip=10.99.0.1/32',
  ])
  assert.equal(updateLines(publicKey, { endpoint: parseEndpoint('192.0.2.1:7') }), [
    `public_key=${KEY}`,
    'update_only=true',
    'endpoint=192.0.2.1:7',
  ])
})

rule('drops a prefix without touching those the peer keeps', () => {
  const lines = changeLines({ peers: [{ kind: 'drop', publicKey, dropped: [X] }] })
  assert.is(lines.includes(`public_key=${KEY}`), false)
  assert.is(lines.includes('replace_allowed_ips=true'), false)
  assert.is(lines.at(-1), 'remove=true')
})

rule('replaces a peer by removing and adding it', () => {
  const peer = { publicKey, allowedIps: [X], persistentKeepalive: 0 }
  assert.equal(replaceLines(peer), [
    `public_key=${KEY}`,
    'remove=true',
    `public_key=${KEY}`,
    'persistent_keepalive_interval=0',
    'allowed_ip=10.99.0.1/32',
  ])
})

const stateOf = (lines: readonly string[], memory?: UapiMemory): DeviceState =>
  deviceStateOf(lines.map((line) => `${line}\n`).join(''), memory)

rule('reads a device with peers, and passes over keys it does not know', () => {
  const state = stateOf([
    `private_key=${PRIVATE}`,
    'listen_port=12912',
    'shiny_new_key=1',
    `public_key=${KEY}`,
    'preshared_key=0000000000000000000000000000000000000000000000000000000000000000',
    'endpoint=[abcd:23::33]:51820',
    'last_handshake_time_sec=1767268800',
    'tx_bytes=38333',
    'rx_bytes=2224',
    'persistent_keepalive_interval=111',
    'allowed_ip=192.168.4.4/32',
    'allowed_ip=fd00::/64',
    'public_key=58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376',
  ])
  const { privateKey, ...rest } = state
  assert.is(privateKey === undefined, false)
  assert.equal(rest, {
    listenPort: 12912,
    peers: [
      {
        publicKey,
        endpoint: { address: 'abcd:23::33', port: 51820 },
        latestHandshake: 1767268800,
        receivedBytes: 2224,
        sentBytes: 38333,
        persistentKeepalive: 111,
        allowedIps: ['192.168.4.4/32', 'fd00::/64'],
      },
      {
        publicKey: fromHex('58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376'),
        latestHandshake: 0,
        receivedBytes: 0,
        sentBytes: 0,
        persistentKeepalive: 0,
        allowedIps: [],
      },
    ],
  })
})

rule('remembers peers of whom nothing is new, and no others', () => {
  type P = DeviceState['peers']
  const memory = newUapiMemory()
  const other = '58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376'
  const look = (bytes: number) =>
    stateOf(
      [`public_key=${KEY}`, 'allowed_ip=10.0.0.1/32', `public_key=${other}`, `rx_bytes=${bytes}`],
      memory,
    )
  const states = [look(1), look(2), look(2), look(1)]
  assert.is(states[2], states[1], 'all is as it was')
  const [first, second, third] = [0, 1, 3].map((at) => states[at]?.peers ?? []) as [P, P, P]
  assert.is(second[0], first[0])
  assert.is(third[0], first[0])
  assert.equal(
    [first, second, third].map((peers) => peers[1]?.receivedBytes),
    [1, 2, 1],
  )
  assert.is.not(third[1], first[1])
  assert.equal(first[0]?.allowedIps, ['10.0.0.1/32'])
})

rule('reads a device that has nothing yet', () => {
  assert.equal(stateOf([]), { listenPort: 0, peers: [] })
})

rule('leaves out an endpoint with a zone', () => {
  const { peers } = stateOf([`public_key=${KEY}`, 'endpoint=[fe80::1%eth0]:51820'])
  assert.is(peers[0]?.endpoint, undefined)
})

rule('refuses a key that is none', () => {
  assert.throws(() => stateOf(['public_key=abc']), /hex/)
})

rule.run()
