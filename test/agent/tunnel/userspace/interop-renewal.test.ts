// time limit: 300 s
/** Sessions with stock wireguard-go are renewed by its real timer and by ours, side by side. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../../support/needs.ts'
import { joinedNamespaces, type Namespace } from '../namespaces.ts'
import { loopback, type Pair, startPair } from './interop-pair.ts'

needs('root', 'netns', 'wireguard-go', 'ping')

let host: Namespace
let other: Namespace

const rule = suite('sessions with wireguard-go')

rule.before(async () => {
  ;[host, other] = await joinedNamespaces()
})
rule.after(async () => {
  await host[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

/** Seconds between the first session and the one that took its place, as each side tells. */
async function renewal(pair: Pair): Promise<readonly number[]> {
  const moments = async () => [
    Number(await pair.theirView('latest-handshakes')),
    (await pair.weSeeThem())?.latestHandshake ?? 0,
  ]
  const before = await moments()
  const said = await host.sh(`ping -q -c 255 -i 0.5 ${pair.addresses.ours.ipv4}`)
  assert.match(said, /255 received/)
  const after = await moments()
  return after.map((moment, index) => moment - (before[index] ?? 0))
}

rule('are renewed after two minutes by whoever initiated, and no packet is lost', async () => {
  const [we, they] = [
    await startPair(host, 'wireguard-go', 0),
    await startPair(host, 'wireguard-go', 1),
  ]
  await we.theyKnow(undefined)
  await we.weKnow(loopback(we.ports.theirs))
  assert.is(await we.wePing(we.addresses.theirs.ipv4), 'reply')
  await they.weKnow(undefined)
  await they.theyKnow(loopback(they.ports.ours))
  assert.ok(await host.pings(they.addresses.ours.ipv4))
  const gaps = await Promise.all([renewal(we), renewal(they)])
  for (const gap of gaps.flat()) assert.ok(gap >= 119 && gap <= 127, `${gap} s`)
  await Promise.all([we.end(), they.end()])
})

rule.run()
