// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startCapture } from '../../simulations/lab/capture.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'tcpdump', 'iperf3', 'iptables', 'ping')

const rule = suite('two hosts behind two port-restricted NATs')
const scene = await startScene()
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
const [phone4 = '', phone6 = ''] = await phone.addresses()
const from = laptop.host.namespace

rule('reach each other over IPv4 and IPv6 overlay addresses', async () => {
  await untilAnswered(from, phone4)
  for (const address of [phone4, phone6]) {
    const { received, sent } = await ping(from, address)
    assert.is(received, sent, address)
  }
})

rule(
  'are directly connected: their packets pass between the two NATs and not by any relay',
  async () => {
    await until(
      'both paths are direct',
      15_000,
      async () =>
        (await laptop.peer('phone'))?.path === 'direct' &&
        (await phone.peer('laptop'))?.path === 'direct',
    )
    const capture = await startCapture(from, 'eth0', 'udp or tcp', scene.lab.folder)
    const size = 1000
    await from.exec('ping', '-n', '-c', '20', '-i', '0.05', '-s', String(size), phone4)
    const packets = await capture.stop()
    const large = packets.filter(({ length }) => length >= size)
    const carried = large.filter(({ kind }) => kind === 'wireguard-data')
    assert.ok(carried.length >= 40, `${carried.length} large packets`)
    for (const { source, destination } of carried)
      assert.ok([source, destination].includes('198.18.3.2:51820'), `${source} > ${destination}`)
    // The mesh's own talk is by TCP, and now and then as large; a relay's would be as many.
    const tcp = large.filter(({ kind }) => kind === 'tcp')
    assert.ok(tcp.length < 10, `${tcp.length} large packets of TCP`)
  },
)

rule('show only WireGuard and STUN on the wire at that port', async () => {
  const capture = await startCapture(scene.lab.router(2), 'wan', 'udp port 51820', scene.lab.folder)
  await ping(from, phone4, { count: 40, intervalMs: 100 })
  const kinds = new Set((await capture.stop()).map(({ kind }) => kind))
  assert.ok(kinds.has('wireguard-data') && kinds.has('stun'), [...kinds].join(' '))
  for (const kind of kinds)
    assert.ok(['wireguard-data', 'wireguard-handshake', 'stun'].includes(kind), kind)
})

rule('carry TCP through the tunnel', async () => {
  const server = phone.host.namespace.spawn(`${scene.lab.folder}/iperf3.log`, 'iperf3', [
    '-s',
    '-1',
    '--forceflush',
    '-B',
    phone4,
  ])
  await server.waitFor(/listening/)
  const output = JSON.parse(await from.exec('iperf3', '-J', '-t', '2', '-c', phone4)) as {
    end: { sum_received: { bytes: number } }
  }
  assert.ok(output.end.sum_received.bytes > 1_000_000)
  await server.stop()
})

rule('lose no packet while the path changes from relay to direct', async () => {
  await Promise.all([laptop.stop(), phone.stop()])
  laptop.start()
  phone.start()
  await Promise.all([laptop.started(), phone.started()])
  await untilAnswered(from, phone4)
  const { sent, received } = await ping(from, phone4, { count: 300, intervalMs: 10 })
  assert.is(received, sent)
  assert.is((await laptop.peer('phone'))?.path, 'direct')
})

rule('leave nothing on the host when they stop', async () => {
  await laptop.stop()
  const links = await from.exec('ip', '-o', 'link')
  assert.not.match(links, new RegExp(laptop.options.interfaceName))
  assert.is((await from.exec('nft', 'list', 'ruleset')).trim(), '')
  const { stdout } = await from.attempt('ip', 'route', 'get', phone4)
  assert.match(stdout, /dev eth0/)
})

rule('recover from a crash that left rules, interface and socket behind', async () => {
  await phone.stop('SIGKILL')
  assert.match(await phone.host.namespace.exec('nft', 'list', 'ruleset'), /nexodus-port/)
  laptop.start()
  phone.start()
  await Promise.all([laptop.started(), phone.started()])
  await untilAnswered(from, phone4)
})

rule.after(() => scene.stop())
rule.run()
