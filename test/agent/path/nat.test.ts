// time limit: 600 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SiteKind } from '../../../simulations/lab/nat.ts'
import { needs } from '../../support/needs.ts'
import { type LabPair, OVERLAY, ping, startPair } from './lab-pair.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'conntrack', 'ping', 'iptables')

/** RTT 40 ms directly, 80 by the relay. */
const DELAYS = { delayMs: 10, relayMs: 40 }

/** Both hosts know what they are seen as. */
async function pairOf(...kinds: [SiteKind, SiteKind]): Promise<LabPair> {
  const pair = await startPair({ kinds, ...DELAYS })
  const isMapped = (host: typeof pair.a) => () =>
    host.candidates.some(({ address }) => address.startsWith('198.18.'))
  await pair.a.until(isMapped(pair.a), 'a is mapped')
  await pair.b.until(isMapped(pair.b), 'b is mapped')
  return pair
}

function start({ a, b }: LabPair, options: { relay: boolean; known: boolean }): void {
  for (const [host, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    host.order({ kind: 'start', candidates: options.known ? peer.candidates : [] })
    host.order({ kind: 'relay', available: options.relay })
  }
}

async function bothDirect({ a, b }: LabPair): Promise<void> {
  await a.until(() => a.path === 'direct', 'a is direct')
  await b.until(() => b.path === 'direct', 'b is direct')
}

const rule = suite('paths between NATs, with wireguard-go')

rule(
  'two port-restricted NATs: the relay carries at first, then WireGuard is direct, nothing is lost',
  async () => {
    await using pair = await pairOf('port', 'port')
    const { a, b, relayed } = pair
    const begunMs = Date.now()
    start(pair, { relay: true, known: false })
    await sleep(30)
    const pings = await ping(b, OVERLAY[0], 150, 20)
    assert.is(pings.received, 150, 'no packet lost at the switch')
    assert.ok(pings.firstMs - begunMs < 1000, `first answer after ${pings.firstMs - begunMs} ms`)
    await bothDirect(pair)
    assert.is(a.natMapping, 'endpoint-independent')
    const before = relayed.count
    assert.is((await ping(a, OVERLAY[1], 50, 20)).received, 50)
    assert.ok(relayed.count - before <= 4, `${relayed.count - before} datagrams by the relay`)
    assert.is(b.path, 'direct')
  },
)

rule(
  'without any relay two NATs that know each other’s mappings are opened by checks alone',
  async () => {
    await using pair = await pairOf('port', 'port')
    start(pair, { relay: false, known: true })
    await bothDirect(pair)
    await sleep(300)
    assert.is((await ping(pair.a, OVERLAY[1], 20, 20)).received, 20)
    assert.is(pair.relayed.count, 0)
  },
)

rule(
  'a NAT with a mapping for each destination and a port-restricted one stay on the relay',
  async () => {
    await using pair = await pairOf('symm', 'port')
    start(pair, { relay: true, known: true })
    await pair.a.until(() => pair.a.path === 'relay', 'a is relayed')
    assert.is((await ping(pair.a, OVERLAY[1], 50, 20)).received, 50)
    assert.is(pair.a.path, 'relay')
  },
)

rule('a public address that changes costs less than two seconds', async () => {
  await using pair = await pairOf('port', 'port')
  start(pair, { relay: true, known: true })
  await bothDirect(pair)
  await sleep(1500)
  const pings = ping(pair.b, OVERLAY[0], 250, 20)
  await sleep(1000)
  await pair.lab.renumber(1)
  const { received } = await pings
  assert.ok(received > 150, `${250 - received} of 250 pings lost, 20 ms apart`)
  await bothDirect(pair)
})

rule('a host that moves to another address is followed in half a second', async () => {
  await using pair = await pairOf('port', 'port')
  start(pair, { relay: true, known: true })
  await bothDirect(pair)
  await sleep(1500)
  const pings = ping(pair.b, OVERLAY[0], 150, 20)
  await sleep(500)
  await pair.lab.moveHost(pair.lab.host(1))
  pair.a.order({ kind: 'network-changed' })
  const { received } = await pings
  assert.ok(received > 120, `${150 - received} of 150 pings lost, 20 ms apart`)
  await bothDirect(pair)
})

rule.run()
