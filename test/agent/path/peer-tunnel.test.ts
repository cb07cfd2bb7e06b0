import { setImmediate } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RedirectedEndpoints } from '../../../agent/host/redirected-endpoints.ts'
import { openPeerTunnel } from '../../../agent/path/peer-tunnel.ts'
import type { TunnelPeerStats } from '../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { formatEndpoint, parseEndpoint } from '../../../protocol/address.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'

const rule = suite('one peer of the tunnel')
const wireguardKey = generateAgreementKeyPair().publicKey
const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)

const at = parseEndpoint
const redirected: (...of: Parameters<RedirectedEndpoints['redirect']>) => string = (
  others,
  to,
  by,
) => `${others.map(formatEndpoint)} to ${formatEndpoint(to)} by ${by.endpointOf(4)?.port}`

function open(latestHandshake: number) {
  const carrier = { endpointOf: () => at('127.0.0.1:1') }
  const done: string[] = []
  const note = (what: string) => async () => void done.push(what)
  const stats: TunnelPeerStats = {
    publicKey: wireguardKey,
    latestHandshake: seconds(latestHandshake),
    receivedBytes: 0,
    sentBytes: 0,
  }
  const tunnel = openPeerTunnel(
    {
      setEndpoint: note('endpoint'),
      setKeepalive: async (_key, interval) => void done.push(`keepalive ${interval}`),
      restartPeer: note('restart'),
      stats: async () => [stats],
    },
    { device, name: 'peer', wireguardKey, candidates: [] },
    () => undefined,
    carrier,
    { redirect: async (others, to, by) => void done.push(redirected(others, to, by)) },
  )
  return { tunnel, done }
}

rule('is made anew where no handshake was completed', async () => {
  const { tunnel, done } = open(100)
  tunnel.restart(seconds(100), () => done.push('session'))
  await setImmediate()
  await tunnel.close()
  assert.equal(done, ['keepalive 0', 'restart', 'keepalive 25'])
})

rule('keeps a session that came between the last look and the restart', async () => {
  const { tunnel, done } = open(101)
  tunnel.restart(seconds(100), () => done.push('session'))
  await setImmediate()
  await tunnel.close()
  assert.equal(done, ['session'])
})

rule('sends to the new path alone before it says so, where there is another', async () => {
  const { tunnel, done } = open(100)
  tunnel.use(at('198.51.100.7:51820'))
  tunnel.use(at('198.51.100.8:51820'), [at('198.51.100.7:51820')])
  await setImmediate()
  const redirection = '198.51.100.7:51820 to 198.51.100.8:51820 by 1'
  assert.equal(done, ['endpoint', redirection, 'endpoint'])
})

rule.run()
