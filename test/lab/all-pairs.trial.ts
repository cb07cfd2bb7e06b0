// time limit: 420 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ask } from '../../agent/control/client.ts'
import { PEERS } from '../../agent/control/reports.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import type { Running } from '../../simulations/lab/namespace.ts'
import type { SiteKind } from '../../simulations/lab/nat.ts'
import { startScene } from '../../simulations/lab/scene.ts'
import { canBeDirect } from '../../simulations/matrix/pairs.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'ping', 'conntrack')

/** A site of each, and for two hosts of one site a LAN whose hosts do not see each other, and one whose do. */
const KINDS: readonly SiteKind[] = [
  'fw',
  'full',
  'addr',
  'port',
  'port-np',
  'symm',
  'cgnat',
  'cgsymm',
  'hairpin',
  'udpblock',
  'v6',
  'v6dual',
]
const HUB = { site: 1, kind: 'public' } as const

const rule = suite('a device behind every kind of NAT')
const scene = await startScene({
  sites: [HUB.kind, ...KINDS, 'public' as const].map((kind) => ({ kind })),
  registrySite: KINDS.length + 2,
  registryFor: 'everybody',
  agents: {},
  enrol: 'later',
})
const key = await scene.registrationKey()
const agents = [HUB, ...KINDS.map((kind, index) => ({ kind, site: index + 2 }))].map(
  ({ kind, site }) => scene.addAgent(kind, site, 0, key),
)
// One after another: starting is what costs most, and nobody waits the longer for it.
for (const agent of agents) await agent.start().waitFor(/daemon\.started/, 120_000)

interface PairOfAgents {
  readonly from: LabAgent
  readonly to: LabAgent
  readonly ping: Running
}

const addresses = new Map<LabAgent, string>()
for (const agent of agents) addresses.set(agent, (await agent.addresses())[0] ?? '')
const pairs: readonly PairOfAgents[] = agents.flatMap((from, index) =>
  agents
    .slice(index + 1)
    .map((to) => ({ from, to, ping: startPing(from, addresses.get(to) ?? '') })),
)

/** For as long as the scene lasts. */
function startPing(from: LabAgent, address: string): Running {
  return from.host.namespace.spawn('/dev/null', 'ping', ['-n', '-i', '1', address])
}

function isDirect({ from, to }: PairOfAgents): boolean {
  const kinds = [from.host.kind, to.host.kind] as const
  return canBeDirect({ name: '', kinds, isOneSite: false })
}

/** Both ends' path, `direct relay` where they differ. */
async function pathsNow(): Promise<ReadonlyMap<string, string>> {
  const known = new Map<string, string>()
  await Promise.all(
    agents.map(async ({ name, socket }) => {
      for (const peer of await ask(socket, PEERS, '/v1/peers'))
        known.set(`${name} ${peer.name}`, peer.path)
    }),
  )
  return new Map(
    pairs.map(({ from, to }) => {
      const ends = [known.get(`${from.name} ${to.name}`), known.get(`${to.name} ${from.name}`)]
      return [`${from.name} - ${to.name}`, [...new Set(ends)].join(' ')]
    }),
  )
}

rule('reaches every other, all at once', async () => {
  const answers = await Promise.allSettled(
    pairs.map(({ ping }) => ping.waitFor(/bytes from/, 120_000)),
  )
  const silent = pairs.filter((_, index) => answers[index]?.status === 'rejected')
  assert.equal(
    silent.map(({ from, to }) => `${from.name} - ${to.name}`),
    [],
  )
})

rule('is directly connected exactly to those that the mappings of both allow', async () => {
  const wanted = new Map(
    pairs.map((pair) => [
      `${pair.from.name} - ${pair.to.name}`,
      isDirect(pair) ? 'direct' : 'relay',
    ]),
  )
  const wrong = async (): Promise<readonly string[]> =>
    [...(await pathsNow())]
      .filter(([name, path]) => path !== wanted.get(name))
      .map(([name, path]) => `${name}: ${path}, not ${wanted.get(name)}`)
  for (let tries = 0; tries < 90 && (await wrong()).length > 0; tries += 1) await sleep(1000)
  assert.equal(await wrong(), [])
})

rule.after(() => scene.stop())
rule.run()
