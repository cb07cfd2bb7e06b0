/** Arguments of `wg set` and the output of `wg show NAME dump`, as wg(8) describes them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseDump, peerArguments, stepArguments } from '../../../agent/tunnel/wg-text.ts'
import { parseAgreementPublicKey } from '../../../crypto/agreement.ts'
import { fromBase64, toBase64 } from '../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'

const A = 'uFmW/sycfx/G0lcqdu2hHVm80gvo5UOxXOS9hajnWjM='
const PRIVATE = '6EtabScXwQA6E7QxVwNT26ypFGzxUMX4V1aA/rpSAno='

const publicKey = parseAgreementPublicKey(fromBase64(A))
const X = parsePrefix('10.99.0.1/32')
const Y = parsePrefix('fd00::99/128')

const rule = suite('wg text')

rule('reads a device and its peers', () => {
  const { privateKey, listenPort, peers } = parseDump(
    `${PRIVATE}\t${A}\t51820\toff\n` +
      `${A}\t(none)\t[2001:db8::1]:51820\t100.64.0.2/32,fd00::2/128\t1767268800\t10\t20\t25\n` +
      `${A}\t(none)\t(none)\t(none)\t0\t0\t0\toff\n`,
  )
  assert.is(privateKey === undefined, false)
  assert.is(listenPort, 51820)
  assert.equal(
    peers.map(({ publicKey, ...rest }) => [toBase64(publicKey), rest]),
    [
      [
        A,
        {
          endpoint: { address: '2001:db8::1', port: 51820 },
          allowedIps: ['100.64.0.2/32', 'fd00::2/128'],
          latestHandshake: 1767268800,
          receivedBytes: 10,
          sentBytes: 20,
          persistentKeepalive: 25,
        },
      ],
      [
        A,
        {
          allowedIps: [],
          latestHandshake: 0,
          receivedBytes: 0,
          sentBytes: 0,
          persistentKeepalive: 0,
        },
      ],
    ],
  )
})

rule('reads a device with no key', () => {
  assert.equal(parseDump('(none)\t(none)\t0\toff\n'), { listenPort: 0, peers: [] })
})

rule('refuses what is no key', () => {
  assert.throws(
    () => parseDump(`${PRIVATE}\t${A}\t1\toff\nnonsense\t(none)\n`),
    (error: { code?: string }) => error.code === 'ERR_KEY' || error.code === 'ERR_ENCODING',
  )
})

rule('gives the whole list where a peer gains or drops, and no list where it does not', () => {
  const step = { kind: 'set', publicKey, isNew: false, gained: [X], holds: [X, Y] } as const
  const endpoint = parseEndpoint('192.0.2.1:7')
  assert.equal(stepArguments(step), ['peer', A, 'allowed-ips', '10.99.0.1/32,fd00::99/128'])
  assert.equal(stepArguments({ ...step, gained: [], endpoint }), [
    ...['peer', A],
    ...['endpoint', '192.0.2.1:7'],
  ])
  assert.equal(stepArguments({ kind: 'drop', publicKey, dropped: [X], holds: [] }), [
    ...['peer', A],
    ...['allowed-ips', ''],
  ])
  assert.equal(stepArguments({ kind: 'remove', publicKey }), ['peer', A, 'remove'])
})

rule('gives a whole peer', () => {
  assert.equal(peerArguments({ publicKey, allowedIps: [X], persistentKeepalive: 25 }), [
    ...['peer', A],
    ...['persistent-keepalive', '25'],
    ...['allowed-ips', '10.99.0.1/32'],
  ])
})

rule.run()
