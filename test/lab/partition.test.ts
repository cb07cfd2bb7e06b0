// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RouteReport } from '../../agent/control/route-report.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { cutApart, heal } from '../../simulations/lab/partition.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { ACCESS_DELAY_MS, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

/** Claimed once in each half: the lower device key is to hold it. */
const TIED = '10.99.0.1/32'
/** Claimed twice in the half of the higher device key: that half is to hold it. */
const MOVED = '10.99.0.2/32'
/** Milliseconds from the end of the partition until all say the same. */
const AGREED_MS = 10_000

const rule = suite('a partition with the registry dead')
const kinds = ['public', 'port', 'public', 'port', 'public'] as const
const scene = await startScene({
  sites: kinds.map((kind) => ({ kind, delayMs: ACCESS_DELAY_MS })),
  registrySite: 5,
  agents: { ada: { site: 1 }, alan: { site: 2 }, bea: { site: 3 }, ben: { site: 4 } },
  enrol: 'key',
})

/** One observes what the other claims. */
interface Half {
  readonly observer: LabAgent
  readonly claimant: LabAgent
  readonly deviceId: string
}
const halfOf = async (observer: string, claimant: string): Promise<Half> => ({
  observer: scene.agent(observer),
  claimant: scene.agent(claimant),
  deviceId: (await scene.agent(claimant).status()).deviceId,
})
/** That of the lower device key first. */
const [lower, higher] = [await halfOf('ada', 'alan'), await halfOf('bea', 'ben')].toSorted(
  (a, b) => (a.deviceId < b.deviceId ? -1 : 1),
) as [Half, Half]
const all = [lower, higher].flatMap(({ observer, claimant }) => [observer, claimant])
/** Who is to hold each in the end, and who is to lose it. */
const outcomes = [
  {
    ...{ prefix: TIED, winner: lower.claimant, loser: higher.claimant, epoch: 1 },
    why: 'lower device key of the highest epoch',
  },
  {
    ...{ prefix: MOVED, winner: higher.claimant, loser: lower.claimant, epoch: 2 },
    why: 'highest epoch',
  },
]

const ipOf = (prefix: string): string => prefix.replace('/32', '')
const says = async (agent: LabAgent, ...words: readonly string[]): Promise<void> => {
  const { status, stderr } = await agent.nexctl('route', ...words)
  assert.is(status, 0, stderr)
}
const routeOf = async (agent: LabAgent, prefix: string): Promise<RouteReport | undefined> =>
  (await agent.routes()).find((route) => route.prefix === prefix)
const sees = (agent: LabAgent, prefix: string, holder: LabAgent): Promise<number> =>
  until(`${agent.name} sees ${holder.name} hold ${prefix}`, 20_000, async () => {
    return (await routeOf(agent, prefix))?.holder === holder.name
  })
const isBound = async ({ host: { namespace }, options }: LabAgent, prefix: string) =>
  (await namespace.exec('ip', 'address', 'show', 'dev', options.interfaceName)).includes(
    ` ${ipOf(prefix)}/`,
  )
const addressOf = async (agent: LabAgent): Promise<string> => (await agent.addresses())[0] ?? ''

rule('begins with four that reach and believe each other', async () => {
  for (const { name } of all) await scene.grantPrefix(name, '10.99.0.0/16')
  const own = all.map((_, index) => `10.99.1.${index}/32`)
  await Promise.all(
    all.map((agent, index) =>
      until(`${agent.name} may`, 20_000, async () => {
        return (await agent.nexctl('route', 'advertise', own[index] ?? '')).status === 0
      }),
    ),
  )
  for (const agent of all) {
    await until(`${agent.name} believes all`, 20_000, async () => {
      return (await agent.routes()).length === all.length
    })
    await until(`${agent.name} has direct paths`, 30_000, async () => {
      return (await agent.peers()).every(({ path }) => path === 'direct')
    })
  }
  await scene.stopRegistry('SIGKILL')
})

rule('leaves each half in touch with itself and with nobody else', async () => {
  await cutApart(scene.lab, [1, 2], [3, 4])
  const address = await addressOf(higher.observer)
  const { received } = await ping(lower.observer.host.namespace, address, { count: 3, waitMs: 500 })
  assert.is(received, 0)
  for (const { observer, claimant } of [lower, higher])
    await untilAnswered(observer.host.namespace, await addressOf(claimant))
})

rule('has one holder of an address in each half', async () => {
  await says(higher.observer, 'advertise', MOVED)
  await sees(higher.claimant, MOVED, higher.observer)
  const claim = async ({ observer, claimant }: Half): Promise<void> => {
    for (const { prefix } of outcomes) {
      await says(claimant, 'advertise', prefix)
      await sees(observer, prefix, claimant)
      await untilAnswered(observer.host.namespace, ipOf(prefix))
      assert.ok(await isBound(claimant, prefix), `${claimant.name} ${prefix}`)
    }
  }
  await Promise.all([lower, higher].map(claim))
})

rule('is noticed: no path leads to the other half', async () => {
  const hasLost = async (agent: LabAgent, { observer, claimant }: Half): Promise<boolean> => {
    const peers = await agent.peers()
    return [observer, claimant].every(({ name }) => {
      const path = peers.find((peer) => peer.name === name)?.path
      return path === 'connecting' || path === 'offline'
    })
  }
  for (const [half, apart] of [
    [lower, higher],
    [higher, lower],
  ] as const)
    for (const agent of [half.observer, half.claimant])
      await until(`${agent.name} has lost them`, 40_000, () => hasLost(agent, apart))
})

rule('ends with the same holder everywhere within seconds, by epoch and then by key', async () => {
  const isAgreed = async (agent: LabAgent): Promise<boolean> => {
    const routes = await agent.routes()
    return outcomes.every(({ prefix, winner, epoch }) => {
      const found = routes.find((route) => route.prefix === prefix)
      return found?.holder === winner.name && found.epoch === epoch
    })
  }
  await heal(scene.lab)
  await Promise.all(
    all.map((agent) => until(`${agent.name} agrees`, AGREED_MS, () => isAgreed(agent))),
  )
})

rule('is told to who has lost, and leaves it no address', async () => {
  for (const { prefix, winner, loser, why } of outcomes) {
    await until(`${loser.name} is free of ${prefix}`, 5000, async () => {
      return !(await isBound(loser, prefix))
    })
    assert.ok(await isBound(winner, prefix))
    const isTold = (line: string): boolean =>
      line.includes('route.lost') && line.includes(prefix) && line.includes(winner.name)
    assert.is(loser.lines.filter(isTold).length, 1)
    assert.not.ok(winner.lines.some((line) => line.includes('route.lost') && line.includes(prefix)))
    assert.is((await routeOf(loser, prefix))?.why, why)
    const { stdout } = await loser.nexctl('route', 'list')
    assert.match(stdout, new RegExp(`${prefix}\\s+${winner.name}\\s+\\S+\\s.*\\b${loser.name}\\b`))
  }
})

rule('leads everybody to the winner', async () => {
  for (const { prefix, winner, loser } of outcomes) {
    for (const { observer } of [lower, higher]) {
      await untilAnswered(observer.host.namespace, ipOf(prefix), 5000)
      assert.ok((await observer.peer(winner.name))?.allowedIps.includes(prefix))
      assert.not.ok((await observer.peer(loser.name))?.allowedIps.includes(prefix))
    }
  }
})

rule.after(() => scene.stop())
rule.run()
