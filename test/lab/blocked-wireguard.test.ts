// time limit: 600 s
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { keepPinging, ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

/** A wait that ends sooner on any machine that is not far slower than most. */
const LONG_MS = 90_000

const rule = suite('a router that drops WireGuard and nothing else')
const scene = await startScene()
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
const [phone4 = ''] = await phone.addresses()
const from = laptop.host.namespace
const router = scene.lab.router(2)

/** Of the messages of the whitepaper, §5.4, by their first four bytes: both handshake messages, and data. */
async function block(): Promise<void> {
  await router.exec('nft', 'add table inet wireguard')
  await router.exec(
    'nft',
    'add chain inet wireguard forwarded { type filter hook forward priority 0; }',
  )
  for (const words of ['0x04000000', '{ 0x01000000, 0x02000000 }'])
    await router.exec(
      'nft',
      `add rule inet wireguard forwarded meta l4proto udp @th,64,32 ${words} counter drop`,
    )
}

/** Packets that each of the two rules has dropped: data, handshakes. */
async function dropped(): Promise<readonly number[]> {
  const listed = await router.exec('nft', 'list', 'table', 'inet', 'wireguard')
  return [...listed.matchAll(/counter packets (\d+)/g)].map(([, packets]) => Number(packets))
}

const unblock = () => router.exec('nft', 'delete table inet wireguard')
const pathOf = async (agent: LabAgent, peer: LabAgent) => (await agent.peer(peer.name))?.path
const areBoth = async (path: string): Promise<boolean> =>
  (await pathOf(laptop, phone)) === path && (await pathOf(phone, laptop)) === path
/** Lines of both logs that tell of a blocked path. */
const told = ({ logFile }: LabAgent): readonly string[] =>
  readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"path.wireguard-blocked"'))

rule('is not noticed before it drops: the path is direct', async () => {
  await untilAnswered(from, phone4, LONG_MS)
  await until('both paths are direct', LONG_MS, () => areBoth('direct'))
  assert.equal([...told(laptop), ...told(phone)], [])
})

rule('costs seconds: the relay carries, and the log says it once', async () => {
  await block()
  const began = performance.now()
  await using _pinging = keepPinging(from, phone4, { folder: scene.lab.folder })
  await untilAnswered(from, phone4, LONG_MS)
  console.log(`pings flow again after ${Math.round(performance.now() - began)} ms`)
  const [data = 0] = await dropped()
  assert.ok(data > 0, 'the rule matches data')
  await until('both paths are relayed', LONG_MS, () => areBoth('relay'))
  const { received, sent } = await ping(from, phone4, { count: 20 })
  assert.is(received, sent, 'what the relay carries is not dropped')
  for (const agent of [laptop, phone])
    assert.ok(told(agent).length <= 1, `${agent.name}: ${told(agent).join('\n')}`)
  assert.ok(told(laptop).length + told(phone).length > 0, 'nobody said it')
})

rule('is seen in status and named by why, from both ends', async () => {
  const finder = told(laptop).length > 0 ? laptop : phone
  const other = finder === laptop ? phone : laptop
  const { blocked } = await finder.status()
  const [line] = blocked
  assert.is(blocked.length, 1)
  assert.is(line?.peer, other.name)
  assert.match(line?.endpoint ?? '', /^198\.18\.\d\.2:51820$/)
  assert.ok((line?.retrySeconds ?? 0) > 0 && (line?.retrySeconds ?? 0) <= 60, `${line}`)
  const { stdout } = await finder.nexctl('status')
  assert.match(stdout, /^WireGuard blocked +\w+ at 198\.18\.\d\.2:51820: checks pass, WireGuard/m)
  for (const [one, peer] of [
    [finder, other],
    [other, finder],
  ] as const) {
    const { verdict } = await one.why(peer.name)
    assert.is(verdict.code, 'wireguard-blocked', verdict.sentence)
    assert.match(
      verdict.sentence,
      /checks pass directly at .* something on the way drops WireGuard/,
    )
    assert.match(verdict.advice, /look for a firewall that recognizes and drops it/)
  }
})

rule('is forgotten when it drops no more: direct again, by itself', async () => {
  await unblock()
  await using _pinging = keepPinging(from, phone4, { folder: scene.lab.folder })
  const tookMs = await until('both paths are direct', LONG_MS, () => areBoth('direct'))
  console.log(`direct again ${Math.round(tookMs)} ms after the last drop`)
  const { received, sent } = await ping(from, phone4, { count: 20 })
  assert.is(received, sent)
  assert.equal([...(await laptop.status()).blocked, ...(await phone.status()).blocked], [])
})

rule('does not keep two apart that never met', async () => {
  await Promise.all([laptop.stop(), phone.stop()])
  await block()
  laptop.start()
  phone.start()
  await Promise.all([laptop.started(LONG_MS), phone.started(LONG_MS)])
  const tookMs = await untilAnswered(from, phone4, LONG_MS)
  console.log(`the first ping is answered after ${Math.round(tookMs)} ms`)
  const [data = 0, handshakes = 0] = await dropped()
  assert.ok(data + handshakes > 0, 'it was tried')
  // The relay may have carried the first ping: then the direct path is tried after it, and what goes there is lost.
  const lostMs = await until('pings are answered, all', LONG_MS, async () => {
    const { received, sent } = await ping(from, phone4, { count: 20 })
    return received === sent
  })
  console.log(`all of 20 are answered after ${Math.round(lostMs)} ms more`)
})

rule.after(() => scene.stop())
rule.run()
