import { setImmediate } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openPeerTunnel } from '../../../agent/path/peer-tunnel.ts'
import type { TunnelPeerStats } from '../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'

const rule = suite('one peer of the tunnel')
const wireguardKey = generateAgreementKeyPair().publicKey
const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)

function open(latestHandshake: number) {
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

rule.run()
