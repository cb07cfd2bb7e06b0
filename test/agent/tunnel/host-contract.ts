/** What a tunnel backend that makes an interface must do besides: addresses, routes, names, what a crash leaves. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../protocol/address.ts'
import {
  ADDRESSES,
  at,
  config,
  type HostBackend,
  leftovers,
  peerOf,
  type Side,
  start,
  startSides,
  statsOf,
} from './sides.ts'

let a: Side
let b: Side

/** `a` knows where `b` is; nothing has been sent yet. */
async function connect(...more: string[]): Promise<void> {
  await b.tunnel.configure(config(b, peerOf(a)))
  await a.tunnel.configure(config(a, { ...peerOf(b, ...more), endpoint: at(b.host.ipv4) }))
}

export function hostContract(backend: HostBackend): void {
  const rule = suite(`tunnel contract of the host: ${backend}`)

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

  rule('takes the routes of a removed peer away', async () => {
    await connect('10.5.0.0/16')
    assert.ok(await a.host.pings('100.64.0.2'))
    assert.match(await a.host.sh('ip route show proto 78'), /10\.5\.0\.0\/16 dev/)
    await a.tunnel.configure(config(a))
    assert.not(await a.host.pings('100.64.0.2', 1))
    assert.equal(await a.tunnel.stats(), [])
    assert.is(await a.host.sh('ip route show proto 78; ip -6 route show proto 78'), '')
  })

  rule('leaves a closed peer its routes: nothing for it leaves beside the tunnel', async () => {
    await connect('10.5.0.0/16')
    const routes = (): Promise<string> =>
      a.host.sh('ip route show proto 78; ip -6 route show proto 78')
    const before = await routes()
    await a.tunnel.configure(config(a, { ...peerOf(b, '10.5.0.0/16'), isClosed: true }))
    assert.not(await a.host.pings('100.64.0.2', 1))
    assert.is(await routes(), before)
  })

  rule('tells the host a peer’s MTU', async () => {
    await connect()
    const endpoint = at(b.host.ipv4)
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1328 }))
    assert.match(await a.host.sh('ip route show proto 78'), /100\.64\.0\.2 dev .* mtu 1328/)
    assert.match(await a.host.sh('ip -6 route show proto 78'), /fd00:64::2 dev .* mtu 1328/)
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint, mtu: 1420 }))
    assert.not.match(await a.host.sh('ip route show proto 78'), /mtu/)
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
    const inside = backend !== 'wireguard-go' ? ['ip', 'netns', 'exec', a.host.name] : []
    const [command = '', ...args] = [...inside, process.execPath, script, a.host.name]
    const crashed = spawn(command, [...args, a.host.tunnelName, backend])
    await once(crashed.stdout, 'data')
    const refused = await start(a.host, backend, []).catch((cause: unknown) => cause)
    assert.is((refused as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
    crashed.kill('SIGKILL')
    await once(crashed, 'exit')
    // An interface that is its process's own goes with it.
    const isLeft = /100\.64\.0\.77/.test(await a.host.sh('ip address'))
    assert.is(isLeft, backend !== 'tun')
    a.tunnel = await start(a.host, backend, a.logged)
    assert.is(a.logged.includes('info tunnel.leftover-removed'), isLeft)
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
  rule('names the holder of a port that is in use', async () => {
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

  rule.run()
}
