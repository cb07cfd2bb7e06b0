// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { startCapture } from '../../simulations/lab/capture.ts'
import { narrow, silence, unsilence } from '../../simulations/lab/narrow.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, TWO_NATS, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'tcpdump', 'iptables', 'ping')

/** IP and ICMP headers of an echo. */
const HEADERS = { 4: 28, 6: 48 } as const
const rule = suite('a narrow link between two NATs')
const scene = await startScene({ ...TWO_NATS, agents: {}, enrol: 'later' })
const { lab } = scene
await narrow(lab, 2, 1400)
await silence(lab, 2, { fragments: 'drop' })
const key = await scene.registrationKey()
const hub = scene.addAgent('hub', 1, 0, key)
const laptop = scene.addAgent('laptop', 2, 0, key)
const phone = scene.addAgent('phone', 3, 0, key)
for (const agent of [hub, laptop, phone]) {
  agent.start()
  await agent.started(90_000)
}
const from = laptop.host.namespace
const [phone4 = '', phone6 = ''] = await phone.addresses()

/** By the log, for a look by nexctl takes a second on a busy machine. */
async function untilMtu(agent: LabAgent, peer: string, mtu: number): Promise<void> {
  const said = (line: string): boolean =>
    line.includes('"peer.mtu-changed"') && line.includes(`"peer":"${peer}"`)
  const ms = await until(`${agent.name} knows that ${mtu} bytes reach ${peer}`, 60_000, async () =>
    (agent.lines.findLast(said) ?? '').includes(`"mtu":${mtu},`),
  )
  process.stdout.write(`${agent.name} to ${peer}: ${mtu} bytes after ${ms.toFixed(0)} ms\n`)
}

/** An echo that may not be cut in two inside the tunnel, of so many bytes with its headers. */
async function passes(address: string, bytes: number): Promise<boolean> {
  const size = bytes - HEADERS[address.includes(':') ? 6 : 4]
  const args = ['-n', '-M', 'do', '-c', '5', '-i', '0.1', '-W', '1', '-s', `${size}`, address]
  return / [1-5] received/.test((await from.attempt('ping', ...args)).stdout)
}

/** The log comes before the route. */
function untilPasses(address: string, bytes: number): Promise<number> {
  return until(`${bytes} bytes pass to ${address}`, 20_000, () => passes(address, bytes))
}

/** Sends two million bytes by TCP from the laptop to the phone; the number that arrived. */
async function transferred(address: string): Promise<number> {
  const receive = `require('node:net').createServer((socket) => {
    let bytes = 0
    socket.on('data', (data) => (bytes += data.length)).on('end', () => {
      console.log('arrived ' + bytes)
      process.exit()
    })
  }).listen(5000, '${address}', () => console.log('listening'))`
  const send = `const socket = require('node:net').connect(5000, '${address}', () =>
    socket.end(Buffer.alloc(2_000_000)))`
  const log = `${lab.folder}/transfer.log`
  const server = phone.host.namespace.spawn(log, process.execPath, ['-e', receive])
  await server.waitFor(/listening/)
  const sending = from.attempt(process.execPath, '-e', send)
  const arrived = Number((await server.waitFor(/arrived (\d+)/, 60_000))[1])
  await sending
  return arrived
}

rule('is found although nothing is said of it, from both ends and for both families', async () => {
  await untilAnswered(from, phone4)
  await Promise.all([untilMtu(laptop, 'phone', 1328), untilMtu(phone, 'laptop', 1328)])
  for (const address of [phone4, phone6]) {
    await untilPasses(address, 1328)
    assert.not(await passes(address, 1329), address)
    assert.is(await transferred(address), 2_000_000, address)
  }
})

rule('is shown: the path’s MTU beside the interface’s', async () => {
  assert.is((await laptop.status()).interface.mtu, 1420)
  assert.match((await laptop.nexctl('peers', 'list')).stdout, /MTU(.*\n)+phone .* 1328 /)
  assert.match(laptop.lines.join('\n'), /peer\.mtu-changed.*"mtu":1328/)
  assert.match(await from.exec('ip', 'route', 'get', phone4), /mtu 1328/)
})

rule('makes no other path slower', async () => {
  await untilAnswered(phone.host.namespace, (await hub.addresses())[0] ?? '')
  assert.is((await phone.peer('hub'))?.mtu, 1420)
  assert.not.match(phone.lines.join('\n'), /peer\.mtu-changed.*"peer":"hub"/)
})

rule('carries what is announced in one piece', async () => {
  const capture = await startCapture(from, 'eth0', 'udp or ip[6:2] & 0x3fff != 0', lab.folder)
  assert.ok(await passes(phone4, 1328))
  const packets = await capture.stop()
  assert.ok(packets.some(({ length }) => length === 1328 + 60))
  assert.ok(packets.every(({ length }) => length <= 1400))
})

rule('becomes narrower under way: a transfer stops for a moment, and goes on', async () => {
  await narrow(lab, 2, 1300)
  assert.is(await transferred(phone4), 2_000_000)
  await Promise.all([untilMtu(laptop, 'phone', 1232), untilMtu(phone, 'laptop', 1232)])
  await untilPasses(phone4, 1232)
  // IPv6 has no smaller packets than 1280: they go in pieces, where pieces pass.
  await silence(lab, 2, { fragments: 'pass' })
  await untilPasses(phone6, 1280)
  assert.is(await transferred(phone6), 2_000_000)
})

rule('becomes wider: packets grow again when the network of both has changed', async () => {
  await narrow(lab, 2, 1500)
  for (const { host } of [laptop, phone]) {
    const address = `192.168.${host.site}.77/24`
    await host.namespace.exec('ip', 'address', 'add', address, 'dev', 'eth0')
  }
  await Promise.all([untilMtu(laptop, 'phone', 1420), untilMtu(phone, 'laptop', 1420)])
  await untilPasses(phone4, 1420)
  await untilPasses(phone6, 1420)
})

rule('is known at once where routers speak', async () => {
  await unsilence(lab, 2)
  await narrow(lab, 2, 1400)
  assert.is(await transferred(phone4), 2_000_000)
  await untilMtu(laptop, 'phone', 1328)
})

rule.after(() => scene.stop())
rule.run()
