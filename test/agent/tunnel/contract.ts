/** What every tunnel backend must do: real tunnels in two namespaces joined by a cable. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import type { BackendKind, TunnelPeer } from '../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import {
  ADDRESSES,
  at,
  config,
  leftovers,
  peerOf,
  type Side,
  start,
  startSides,
  statsOf,
} from './sides.ts'

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
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.ok(await a.host.pings('fd00:64::2'))
    assert.ok(await b.host.pings('100.64.0.1'))
    const stats = await statsOf(b, a.keys.publicKey)
    assert.equal(stats?.endpoint, at(a.host.ipv4))
    assert.ok((stats?.latestHandshake ?? 0) > systemClock.now() - 10)
    assert.ok((stats?.receivedBytes ?? 0) > 148)
    assert.ok((stats?.sentBytes ?? 0) > 92)
  })

  rule('carries over IPv6 when the endpoint is set to an IPv6 address', async () => {
    await connect()
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv6))
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv6))
  })

  rule('sends by the new endpoint at once, in the same session', async () => {
    await connect()
    assert.ok(await a.host.pings('100.64.0.2'))
    const before = await statsOf(a, b.keys.publicKey)
    await sleep(1100)
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv6))
    assert.ok(await a.host.pings('100.64.0.2'))
    const after = await statsOf(a, b.keys.publicKey)
    assert.is(after?.latestHandshake, before?.latestHandshake)
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv6))
  })

  rule('goes on with its sessions when it is configured the same again', async () => {
    await connect()
    assert.ok(await a.host.pings('100.64.0.2'))
    const before = await statsOf(a, b.keys.publicKey)
    await sleep(1100)
    for (let time = 0; time < 3; time++) {
      await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: at(b.host.ipv4) }))
      await b.tunnel.configure(config(b, peerOf(a)))
    }
    assert.ok(await a.host.pings('100.64.0.2'))
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
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.not(await a.host.pings('10.99.0.1', 1))
    await a.tunnel.configure(config(a, { ...peerOf(b, MOVING), endpoint }, other()))
    assert.ok(await a.host.pings('10.99.0.1'))
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint }, other(MOVING)))
    assert.not(await a.host.pings('10.99.0.1', 1))
    assert.ok(await a.host.pings('100.64.0.2'))
  })

  rule('loses nothing to the addresses a peer keeps while others come and go', async () => {
    await connect()
    assert.ok(await a.host.pings('100.64.0.2'))
    const pinging = a.host.sh('ping -q -i 0.002 -c 500 100.64.0.2')
    const endpoint = at(b.host.ipv4)
    for (let time = 0; time < 20; time++) {
      await a.tunnel.configure(config(a, { ...peerOf(b, MOVING, '10.5.0.0/16'), endpoint }))
      await a.tunnel.configure(config(a, { ...peerOf(b, '10.5.0.0/16'), endpoint }))
    }
    assert.match(await pinging, /500 received/)
  })

  rule('stops carrying to a peer that is removed, and takes its routes away', async () => {
    await connect('10.5.0.0/16')
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.match(await a.host.sh('ip route show proto 78'), /10\.5\.0\.0\/16 dev/)
    await a.tunnel.configure(config(a))
    assert.not(await a.host.pings('100.64.0.2', 1))
    assert.equal(await a.tunnel.stats(), [])
    assert.is(await a.host.sh('ip route show proto 78; ip -6 route show proto 78'), '')
  })

  rule('lets no packet to a peer be larger than the peer’s MTU, and others be', async () => {
    await connect()
    const endpoint = at(b.host.ipv4)
    const ping = (bytes: number): Promise<boolean> =>
      a.host.sh(`ping -q -M do -c 1 -W 2 -s ${bytes - 28} 100.64.0.2`).then(
        () => true,
        () => false,
      )
    assert.ok(await ping(1420))
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1328 }))
    assert.match(await a.host.sh('ip route show proto 78'), /100\.64\.0\.2 dev .* mtu 1328/)
    assert.match(await a.host.sh('ip -6 route show proto 78'), /fd00:64::2 dev .* mtu 1328/)
    assert.equal([await ping(1328), await ping(1329)], [true, false])
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1420 }))
    assert.not.match(await a.host.sh('ip route show proto 78'), /mtu/)
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
    assert.not(await a.host.pings('100.64.0.2', 1))
    await a.tunnel.setEndpoint(b.keys.publicKey, at(b.host.ipv4))
    await a.tunnel.restartPeer(b.keys.publicKey)
    assert.ok(await a.host.pings('100.64.0.2', 1))
  })

  rule(
    'restarts a peer with the endpoint it has shown and the keepalive that was set',
    async () => {
      await connect()
      assert.ok(await a.host.pings('100.64.0.2'))
      await b.tunnel.setKeepalive(a.keys.publicKey, 25)
      await b.tunnel.restartPeer(a.keys.publicKey)
      assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv4))
      assert.ok(await b.host.pings('100.64.0.1'))
    },
  )

  rule('makes no peer of a key it was not configured with', async () => {
    const { publicKey } = generateAgreementKeyPair()
    await a.tunnel.setEndpoint(publicKey, at('192.0.2.77'))
    await a.tunnel.setKeepalive(publicKey, 25)
    await a.tunnel.restartPeer(publicKey)
    assert.equal(await a.tunnel.stats(), [])
  })

  rule('sends from its first address, whatever addresses it takes up later', async () => {
    await connect()
    const taken = ['10.99.0.1/32', 'fd00:64::ffff/128']
    await a.tunnel.configure({
      ...config(a, peerOf(b)),
      addresses: [...ADDRESSES.a, ...taken].map(parsePrefix),
    })
    assert.match(await a.host.sh('ip route get 100.64.0.2'), / src 100\.64\.0\.1 /)
    assert.match(await a.host.sh('ip route get fd00:64::2'), / src fd00:64::1 /)
    await a.tunnel.configure(config(a, peerOf(b)))
    assert.not.match(await a.host.sh(`ip address show ${a.host.tunnelName}`), /10\.99\.0\.1/)
    assert.ok(await a.host.pings('100.64.0.2'))
  })

  rule('never touches routes of others, not even of the same prefix', async () => {
    const { tunnelName, link } = a.host
    await a.host.sh(`ip route add 203.0.113.0/24 dev ${tunnelName}`)
    await connect('192.0.2.0/24', '203.0.113.0/24')
    assert.match(await a.host.sh(`ip route get ${b.host.ipv4}`), new RegExp(`dev ${link}`))
    await a.tunnel.configure(config(a))
    const routes = await a.host.sh('ip route')
    assert.match(routes, new RegExp(`192\\.0\\.2\\.0/24 dev ${link} proto kernel`))
    assert.match(routes, new RegExp(`203\\.0\\.113\\.0/24 dev ${tunnelName} scope link`))
    await a.host.sh(`ip route delete 203.0.113.0/24 dev ${tunnelName}`)
  })

  rule('gives a default route no route of its own', async () => {
    await connect('0.0.0.0/0', '::/0')
    assert.not.match(await a.host.sh('ip route; ip -6 route'), /default/)
  })

  rule('names the holder of a port that is in use, and mends itself when it is free', async () => {
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
    assert.match(
      (error as Error).message,
      /^UDP port 4242 is in use by \S+ \(process \d+\) .*--listen-port\)$/,
    )
    await a.tunnel.configure(wanted)
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host.ipv4, 4242))
  })

  rule('refuses a name that a living tunnel has', async () => {
    const error = await start(a.host, backend, []).catch((cause: unknown) => cause)
    assert.is((error as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
    assert.match(
      (error as Error).message,
      /is taken by the agent with process \d+ .*--interface\)$/,
    )
  })

  rule('goes without IPv6 where the host has it switched off', async () => {
    await a.host.sh('sysctl -qw net.ipv6.conf.all.disable_ipv6=1')
    await a.tunnel.configure(config({ ...a, addresses: [] }))
    await connect()
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.ok(a.logged.includes('warn tunnel.ipv6-off'))
    await a.host.sh('sysctl -qw net.ipv6.conf.all.disable_ipv6=0')
    await a.host.sh(`ip address add ${a.host.ipv6}/64 dev ${a.host.link} nodad`)
  })

  rule('mends what a crash of the agent left: interface, routes, process', async () => {
    await a.tunnel[Symbol.asyncDispose]()
    const script = fileURLToPath(new URL('tunnel-process.ts', import.meta.url))
    const crashed = spawn(process.execPath, [script, a.host.name, a.host.tunnelName, backend])
    await once(crashed.stdout, 'data')
    const refused = await start(a.host, backend, []).catch((cause: unknown) => cause)
    assert.is((refused as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
    crashed.kill('SIGKILL')
    await once(crashed, 'exit')
    assert.match(await a.host.sh('ip address'), /100\.64\.0\.77/)
    a.tunnel = await start(a.host, backend, a.logged)
    assert.ok(a.logged.includes('info tunnel.leftover-removed'))
    await connect()
    assert.not.match(await a.host.sh('ip address'), /100\.64\.0\.77/)
    assert.ok(await a.host.pings('100.64.0.2'))
  })

  rule('leaves nothing when it ends', async () => {
    await connect()
    assert.not.equal(await leftovers(a), '')
    await a.tunnel[Symbol.asyncDispose]()
    assert.is(await a.tunnel.ended, undefined)
    assert.is(await leftovers(a), '')
    assert.equal(await a.host.processes(), [])
    a.tunnel = await start(a.host, backend, a.logged)
  })

  rule.run()
}
