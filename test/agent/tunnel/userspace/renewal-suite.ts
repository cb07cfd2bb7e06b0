/** Sessions with a stock WireGuard are renewed by its real timer and by ours, side by side. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { joinedNamespaces, type Namespace } from '../namespaces.ts'
import type { Stock } from '../stock-interface.ts'
import { loopback, type Pair, startPair } from './interop-pair.ts'

/** Begins at once: the two minutes pass while other suites run. */
export function renewalSuite(stock: Stock): { run(): void } {
  const gaps = renewals(stock)
  // Whoever runs the suite hears of it.
  gaps.catch(() => undefined)
  const rule = suite(`sessions with ${stock}`)

  rule('are renewed after two minutes by whoever initiated, and no packet is lost', async () => {
    for (const gap of await gaps) assert.ok(gap >= 119 && gap <= 127, `${gap} s`)
  })

  return rule
}

async function renewals(stock: Stock): Promise<readonly number[]> {
  const [host, other] = await joinedNamespaces()
  try {
    const [we, they] = [await startPair(host, stock, 0), await startPair(host, stock, 1)]
    await we.theyKnow(undefined)
    await we.weKnow(loopback(we.ports.theirs))
    assert.is(await we.wePing(we.addresses.theirs.ipv4), 'reply')
    await they.weKnow(undefined)
    await they.theyKnow(loopback(they.ports.ours))
    assert.ok(await host.pings(they.addresses.ours.ipv4))
    const gaps = await Promise.all([renewal(host, we), renewal(host, they)])
    await Promise.all([we.end(), they.end()])
    return gaps.flat()
  } finally {
    await host[Symbol.asyncDispose]()
    await other[Symbol.asyncDispose]()
  }
}

/** Seconds between the first session and the one that took its place, as each side tells. */
async function renewal(host: Namespace, pair: Pair): Promise<readonly number[]> {
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
