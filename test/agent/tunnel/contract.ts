/** What every tunnel backend must do: real tunnels in two namespaces joined by a cable. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import type { BackendKind, TunnelPeer } from '../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { ADDRESSES, at, config, peerOf, type Side, startSides, statsOf } from './sides.ts'

const MOVING = '10.99.0.1/32'
let a: Side
let b: Side

/** `a` knows where `b` is; nothing has been sent yet. */
async function connect(...more: string[]): Promise<void> {
  await b.tunnel.configure(config(b, peerOf(a)))
  await a.tunnel.configure(config(a, { ...peerOf(b, ...more), endpoint: at(b.host.ipv4) }))
}

export function tunnelContract(backend: BackendKind): void {
  const rule = suite(`tunnel contract: ${backend}`)

  rule.before(async () => {
    ;[a, b] = await startSides(backend)
  })
  rule.after(async () => {
    for (const { tunnel } of [a, b]) await tunnel[Symbol.asyncDispose]()
    for (const { host } of [a, b]) await host[Symbol.asyncDispose]()
  })
  rule.before.each(async () => {
    for (const side of [a, b]) await side.tunnel.configure(config(side))
  })

  rule('carries IPv4 and IPv6 between the addresses of both', async () => {
    await connect()
    assert.ok(await a.reach.pings('100.64.0.2'))
    assert.ok(await a.reach.pings('fd00:64::2'))
    assert.ok(await b.reach.pings('100.64.0.1'))
    const stats = await statsOf(b, a.keys.publicKey)
    assert.equal(stats?.endpoint, at(a.host.ipv4))
    assert.ok((stats?.latestHandshake ?? 0) > systemClock.now() - 10)
    assert.ok((stats?.receivedBytes ?? 0) > 148)
    assert.ok((stats?.sentBytes ?? 0) > 92)
  })

  rule('carries over IPv6 when the endpoint is set to an IPv6 address', async () => {
    await connect()
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv6))
    assert.ok(await a.reach.pings('100.64.0.2'))
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv6))
  })

  rule('sends by the new endpoint at once, in the same session', async () => {
    await connect()
    assert.ok(await a.reach.pings('100.64.0.2'))
    const before = await statsOf(a, b.keys.publicKey)
    await sleep(1100)
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv6))
    assert.ok(await a.reach.pings('100.64.0.2'))
    const after = await statsOf(a, b.keys.publicKey)
    assert.is(after?.latestHandshake, before?.latestHandshake)
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv6))
  })

  rule('goes on with its sessions when it is configured the same again', async () => {
    await connect()
    assert.ok(await a.reach.pings('100.64.0.2'))
    const before = await statsOf(a, b.keys.publicKey)
    await sleep(1100)
    for (let time = 0; time < 3; time++) {
      await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: at(b.host.ipv4) }))
      await b.tunnel.configure(config(b, peerOf(a)))
    }
    assert.ok(await a.reach.pings('100.64.0.2'))
    const after = await statsOf(a, b.keys.publicKey)
    assert.is(after?.latestHandshake, before?.latestHandshake)
    assert.ok((after?.sentBytes ?? 0) > (before?.sentBytes ?? 0))
  })

  rule('keeps an endpoint that was set when it is configured without one', async () => {
    await connect()
    await a.tunnel.setEndpoint(b.keys.publicKey, at('192.0.2.77', 7))
    await a.tunnel.configure(config(a, peerOf(b, '10.5.0.0/16')))
    assert.equal((await statsOf(a, b.keys.publicKey))?.endpoint, at('192.0.2.77', 7))
  })

  rule('moves an allowed IP from one peer to another', async () => {
    const absent = generateAgreementKeyPair().publicKey
    const other = (...ips: string[]): TunnelPeer => ({
      publicKey: absent,
      allowedIps: ips.map(parsePrefix),
      persistentKeepalive: 0,
    })
    await b.tunnel.configure({
      ...config(b, peerOf(a)),
      addresses: [...ADDRESSES.b, MOVING].map(parsePrefix),
    })
    const endpoint = at(b.host.ipv4)
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint }, other(MOVING)))
    assert.ok(await a.reach.pings('100.64.0.2'))
    assert.not(await a.reach.pings('10.99.0.1', 1))
    await a.tunnel.configure(config(a, { ...peerOf(b, MOVING), endpoint }, other()))
    assert.ok(await a.reach.pings('10.99.0.1'))
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint }, other(MOVING)))
    assert.not(await a.reach.pings('10.99.0.1', 1))
    assert.ok(await a.reach.pings('100.64.0.2'))
  })

  rule('loses nothing to the addresses a peer keeps while others come and go', async () => {
    await connect()
    assert.ok(await a.reach.pings('100.64.0.2'))
    const pinging = a.reach.received('100.64.0.2', 500)
    const endpoint = at(b.host.ipv4)
    for (let time = 0; time < 20; time++) {
      await a.tunnel.configure(config(a, { ...peerOf(b, MOVING, '10.5.0.0/16'), endpoint }))
      await a.tunnel.configure(config(a, { ...peerOf(b, '10.5.0.0/16'), endpoint }))
    }
    assert.is(await pinging, 500)
  })

  rule('stops carrying to a peer that is removed', async () => {
    await connect('10.5.0.0/16')
    assert.ok(await a.reach.pings('100.64.0.2'))
    await a.tunnel.configure(config(a))
    assert.not(await a.reach.pings('100.64.0.2', 1))
    assert.equal(await a.tunnel.stats(), [])
  })

  rule(
    'carries nothing to a closed peer or from it, and all in the same session after',
    async () => {
      await connect()
      assert.ok(await a.reach.pings('100.64.0.2'))
      const before = await statsOf(a, b.keys.publicKey)
      await a.tunnel.configure(config(a, { ...peerOf(b), isClosed: true }))
      assert.not(await a.reach.pings('100.64.0.2', 1))
      assert.not(await b.reach.pings('100.64.0.1', 1))
      await a.tunnel.configure(config(a, peerOf(b)))
      assert.ok(await a.reach.pings('100.64.0.2', 1))
      const after = await statsOf(a, b.keys.publicKey)
      assert.is(after?.latestHandshake, before?.latestHandshake)
    },
  )

  rule('lets no packet to a peer be larger than the peer’s MTU, and others be', async () => {
    await connect()
    const endpoint = at(b.host.ipv4)
    const ping = (bytes: number): Promise<boolean> => a.reach.carries('100.64.0.2', bytes)
    assert.ok(await ping(1420))
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1328 }))
    assert.equal([await ping(1328), await ping(1329)], [true, false])
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1420 }))
    assert.ok(await ping(1420))
  })

  rule('starts a handshake by itself when the keepalive is turned on', async () => {
    await connect()
    assert.is((await statsOf(a, b.keys.publicKey))?.latestHandshake, 0)
    await a.tunnel.setKeepalive(b.keys.publicKey, 25)
    await sleep(300)
    assert.ok(((await statsOf(a, b.keys.publicKey))?.latestHandshake ?? 0) > 0)
  })

  rule('shakes hands at once after a failed attempt when the peer is restarted', async () => {
    await connect()
    await a.tunnel.setEndpoint(b.keys.publicKey, at('192.0.2.77'))
    assert.not(await a.reach.pings('100.64.0.2', 1))
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv4))
    await a.tunnel.restartPeer(b.keys.publicKey)
    assert.ok(await a.reach.pings('100.64.0.2', 1))
  })

  rule(
    'restarts a peer with the endpoint it has shown and the keepalive that was set',
    async () => {
      await connect()
      assert.ok(await a.reach.pings('100.64.0.2'))
      await b.tunnel.setKeepalive(a.keys.publicKey, 25)
      await b.tunnel.restartPeer(a.keys.publicKey)
      assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv4))
      assert.ok(await b.reach.pings('100.64.0.1'))
    },
  )

  rule('makes no peer of a key it was not configured with', async () => {
    const { publicKey } = generateAgreementKeyPair()
    await a.tunnel.setEndpoint(publicKey, at('192.0.2.77'))
    await a.tunnel.setKeepalive(publicKey, 25)
    await a.tunnel.restartPeer(publicKey)
    assert.equal(await a.tunnel.stats(), [])
  })

  rule('refuses a port that is in use, and mends itself when it is free', async () => {
    const holder = spawn('ip', [
      ...['netns', 'exec', a.host.name, process.execPath, '-e'],
      "require('dgram').createSocket('udp4').bind(4242, () => console.log('bound'))",
    ])
    await once(holder.stdout, 'data')
    await connect()
    const wanted = { ...config(a, { ...peerOf(b), endpoint: at(b.host.ipv4) }), listenPort: 4242 }
    const error = await a.tunnel.configure(wanted).catch((cause: unknown) => cause)
    holder.kill()
    await once(holder, 'exit')
    assert.is((error as { code?: string }).code, 'ERR_TUNNEL_PORT_TAKEN')
    assert.match((error as Error).message, /^UDP port 4242 is in use.* \(stop .*--listen-port\)$/)
    await a.tunnel.configure(wanted)
    assert.ok(await a.reach.pings('100.64.0.2'))
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv4, 4242))
  })

  rule.run()
}
