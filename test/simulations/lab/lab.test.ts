// time limit: 180 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startClassifier } from '../../../simulations/lab/kinds.ts'
import { createLab } from '../../../simulations/lab/lab.ts'
import { ping } from '../../../simulations/lab/ping.ts'
import { startProbe } from '../../../simulations/lab/probe.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'iptables', 'python3', 'ping', 'conntrack')

const rule = suite('the NAT laboratory')

async function refusal(work: () => Promise<unknown>, message: string | RegExp): Promise<void> {
  let text = ''
  try {
    await work()
  } catch (error) {
    text = error instanceof Error ? error.message : ''
  }
  if (typeof message === 'string') assert.is(text, message)
  else assert.match(text, message)
}

rule('changes a delay while packets are on their way', async () => {
  using lab = await createLab({ sites: [{ kind: 'public', delayMs: 5 }, { kind: 'public' }] })
  const shortest = async (): Promise<number> =>
    Math.min(...(await ping(lab.host(1).namespace, '198.18.1.1', { intervalMs: 50 })).timesMs)
  assert.ok((await shortest()) < 60)
  await lab.delay(1, 60)
  assert.ok((await shortest()) >= 119)
  await lab.delay(1, 5)
  assert.ok((await shortest()) < 60)
  using still = await createLab({ sites: [{ kind: 'public' }] })
  await refusal(() => still.delay(1, 5), 'the laboratory began without delays')
})

rule(
  'answers a probe that began before there was a way, and loses what was sent meanwhile',
  async () => {
    using lab = await createLab({ sites: [{ kind: 'public' }, { kind: 'v6dual' }] })
    for (const address of ['10.9.9.9', '2001:db8:9::9']) {
      const probe = await startProbe(lab.host(2).namespace, address, 20, lab.folder)
      await sleep(300)
      assert.ok(probe.echoes().length > 2)
      await lab.core.batch('ip', [`addr add ${address}/${address.includes(':') ? 128 : 32} dev lo`])
      while (!probe.echoes().some(({ receivedMs }) => receivedMs !== undefined)) await sleep(50)
      const [first] = await probe.stop()
      assert.is(first?.receivedMs, undefined)
    }
  },
)

rule('changes the delays of many sites at once', async () => {
  using lab = await createLab({
    sites: Array.from({ length: 6 }, () => ({ kind: 'public' as const, delayMs: 5 })),
  })
  for (const ms of [1, 2, 3, 4]) {
    await Promise.all([1, 2, 3, 4, 5, 6].map((site) => lab.delay(site, ms)))
  }
})

rule('delays and loses packets as it is told', async () => {
  using lab = await createLab({
    sites: [
      { kind: 'public', delayMs: 15 },
      { kind: 'public', lossPercent: 30 },
    ],
  })
  const slow = await ping(lab.host(1).namespace, '198.18.1.1', { count: 10, intervalMs: 50 })
  // One link, there and back; a busy machine may add, never take away.
  assert.ok(
    Math.min(...slow.timesMs) >= 29.5 && Math.min(...slow.timesMs) < 60,
    slow.timesMs.join(' '),
  )
  const lossy = await ping(lab.host(2).namespace, '198.18.2.1', {
    count: 100,
    intervalMs: 5,
    waitMs: 300,
  })
  assert.ok(lossy.received > 20 && lossy.received < 80, `${lossy.received} of 100 came back`)
})

rule('gives a site another public address and back, and a host another private one', async () => {
  using lab = await createLab({ sites: [{ kind: 'port' }, { kind: 'public' }] })
  const [host, { classify }] = [lab.host(1), await startClassifier(lab)]
  assert.match((await classify(host)).mapped, /^198\.18\.1\.2 /)
  await lab.renumber(1)
  assert.match((await classify(host)).mapped, /^198\.18\.1\.3 /)
  await lab.renumber(1)
  assert.match((await classify(host)).mapped, /^198\.18\.1\.2 /)
  await lab.moveHost(host)
  assert.match(await host.namespace.exec('ip', '-4', 'addr', 'show', 'eth0'), /192\.168\.1\.110/)
  assert.is((await classify(host)).isReachable, true)
})

rule('has a NAT box forget its mappings', async () => {
  using lab = await createLab({ sites: [{ kind: 'cgnat' }, { kind: 'full' }, { kind: 'public' }] })
  const { classify } = await startClassifier(lab)
  for (const site of [1, 2]) {
    await classify(lab.host(site))
    const mappings = (): Promise<string> => lab.router(site).exec('conntrack', '-L', '-p', 'udp')
    assert.match(await mappings(), /dport=3478/)
    await lab.flush(site)
    assert.not.match(await mappings(), /dport=3478/)
  }
  assert.not.match(await lab.router(2).exec('nft', 'list', 'map', 'ip', 'nat', 'm'), /elements/)
})

rule('cuts and mends links and cables, for IPv4 and IPv6', async () => {
  using lab = await createLab({ sites: [{ kind: 'v6dual', hosts: 2 }, { kind: 'public' }] })
  const [host, neighbour, far] = [lab.host(1), lab.host(1, 1), lab.host(2)]
  const answered = async (from = host): Promise<number> => {
    const pings = ['198.18.2.2', '2001:db8:2::2'].map((address) =>
      ping(from.namespace, address, { count: 2, waitMs: 300 }),
    )
    return (await Promise.all(pings)).filter(({ received }) => received === 2).length
  }
  assert.is(await answered(), 2)
  for (const [cut, others] of [
    [(up: boolean) => lab.link(up, 1), 0],
    [(up: boolean) => lab.cable(up, host), 2],
    [(up: boolean) => lab.cable(up, far), 0],
  ] as const) {
    await cut(false)
    assert.is(await answered(), 0)
    assert.is(await answered(neighbour), others)
    await cut(true)
    // Neighbours that did not answer are asked again after a second.
    for (let tries = 0; tries < 10 && (await answered()) < 2; tries += 1) await sleep(200)
    assert.is(await answered(), 2)
  }
})

rule('gives every site the same private network where that is wanted', async () => {
  using lab = await createLab({
    sites: [{ kind: 'port' }, { kind: 'port' }, { kind: 'public' }],
    overlap: true,
  })
  for (const site of [1, 2]) {
    assert.is(lab.host(site).address, '192.168.1.10')
    const { received } = await ping(lab.host(site).namespace, '198.18.3.2', { count: 2 })
    assert.is(received, 2)
  }
  await lab.moveHost(lab.host(2))
  assert.match(await lab.host(2).namespace.exec('ip', 'addr', 'show', 'eth0'), /192\.168\.1\.110/)
})

rule.run()
