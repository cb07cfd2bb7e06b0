/** A tunnel that is used before it is started. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Tunnel, TunnelConfig } from '../../../agent/tunnel/backend.ts'
import { comingTunnel } from '../../../agent/tunnel/coming-tunnel.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { parseEndpoint } from '../../../protocol/address.ts'

const keys = generateAgreementKeyPair()
const config: TunnelConfig = {
  privateKey: keys,
  listenPort: 51820,
  addresses: [],
  mtu: 1420,
  peers: new Map(),
}
const endpoint = parseEndpoint('198.51.100.7:51820')

/** A tunnel whose host commands take until `hostDone`. */
function recording(): { tunnel: Tunnel; events: string[]; hostDone: () => void } {
  const events: string[] = []
  const host = Promise.withResolvers<void>()
  const note = async (event: string): Promise<void> => void events.push(event)
  const tunnel: Tunnel = {
    kind: 'kernel',
    interfaceName: 'wg0',
    ended: new Promise(() => undefined),
    configure: async () => {
      events.push('configure')
      await host.promise
      events.push('configured')
    },
    setEndpoint: () => note('endpoint'),
    setKeepalive: (_, seconds) => note(`keepalive ${seconds}`),
    restartPeer: () => note('restart'),
    stats: async () => [
      { publicKey: keys.publicKey, latestHandshake: 0 as never, receivedBytes: 0, sentBytes: 0 },
    ],
    [Symbol.asyncDispose]: () => note('disposed'),
  }
  return { tunnel, events, hostDone: host.resolve }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const rule = suite('coming tunnel')

rule('does what was asked for once its peers are configured, before the host is', async () => {
  const { tunnel, events, hostDone } = recording()
  const started = Promise.withResolvers<Tunnel>()
  const coming = comingTunnel('wg0', started.promise)
  const asked = [
    coming.setEndpoint(keys.publicKey, endpoint),
    coming.setKeepalive(keys.publicKey, 25),
  ]
  const stats = coming.stats()
  started.resolve(tunnel)
  await turn()
  assert.equal(events, [])
  const configured = coming.configure(config)
  await Promise.all(asked)
  assert.equal(events, ['configure', 'endpoint', 'keepalive 25'])
  assert.is((await stats).length, 1)
  hostDone()
  await configured
  assert.is(coming.kind, 'kernel')
  await coming[Symbol.asyncDispose]()
  assert.is(events.at(-1), 'disposed')
})

rule('says only to who configures it why it could not be started', async () => {
  const failed = Promise.reject<Tunnel>(new Error('no WireGuard'))
  const coming = comingTunnel('wg0', failed)
  await coming.setEndpoint(keys.publicKey, endpoint)
  await coming.restartPeer(keys.publicKey)
  assert.equal(await coming.stats(), [])
  assert.is(await coming.ended, undefined)
  const error = await coming.configure(config).catch((cause: unknown) => cause)
  assert.match(String(error), /no WireGuard/)
  await coming[Symbol.asyncDispose]()
})

rule('that nobody configured lets go of who waits for it, and is removed', async () => {
  const { tunnel, events } = recording()
  const coming = comingTunnel('wg0', Promise.resolve(tunnel))
  const waiting = coming.setKeepalive(keys.publicKey, 25)
  await coming[Symbol.asyncDispose]()
  await waiting
  assert.equal(events, ['disposed'])
})

rule('knows its kind when it is started, not before', () => {
  const coming = comingTunnel('wg0', new Promise(() => undefined))
  assert.throws(() => coming.kind, /wg0 is not started yet/)
  assert.is(coming.interfaceName, 'wg0')
})

rule.run()
