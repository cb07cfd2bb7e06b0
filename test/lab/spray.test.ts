// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { startCapture } from '../../simulations/lab/capture.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'tcpdump', 'iptables', 'ping')

/** A NAT with a mapping for each destination, and a port-restricted one; a member that others see them by, and the
 *  registry. */
function startHardPair(extra: readonly string[]): Promise<Scene> {
  return startScene({
    sites: (['symm', 'port', 'public', 'public'] as const).map((kind) => ({
      kind,
      delayMs: ACCESS_DELAY_MS,
    })),
    registrySite: 4,
    agents: { hub: { site: 3 }, hard: { site: 1, extra }, easy: { site: 2, extra } },
    enrol: 'key',
  })
}

/** Packets all the while: nothing is sprayed for a peer that nobody talks to. */
function keepPinging(scene: Scene, address: string): AsyncDisposable {
  const pinging = scene
    .agent('hard')
    .host.namespace.spawn(`${scene.lab.folder}/ping.log`, 'ping', ['-n', '-i', '0.2', address])
  return { [Symbol.asyncDispose]: () => pinging.stop('SIGINT') }
}

async function areBoth(path: string, a: LabAgent, b: LabAgent): Promise<boolean> {
  return (await a.peer(b.name))?.path === path && (await b.peer(a.name))?.path === path
}

const rule = suite('spraying between a hard NAT and a port-restricted one (SPEC §10.8)')

rule('is off by default: the pair stays relayed, and nobody opens anything', async () => {
  const scene = await startHardPair([])
  try {
    const [hard, easy] = [scene.agent('hard'), scene.agent('easy')]
    const [easy4 = ''] = await easy.addresses()
    await untilAnswered(hard.host.namespace, easy4)
    await using _packets = keepPinging(scene, easy4)
    await ping(hard.host.namespace, easy4, { count: 150, intervalMs: 100 })
    assert.ok(await areBoth('relay', hard, easy))
    for (const agent of [hard, easy]) assert.not.match(agent.lines.join('\n'), /path\.spray/)
  } finally {
    await scene.stop()
  }
})

rule('with --spray on both sides the path becomes direct, and stays so', async () => {
  const scene = await startHardPair(['--spray'])
  try {
    const [hard, easy] = [scene.agent('hard'), scene.agent('easy')]
    const [easy4 = ''] = await easy.addresses()
    await untilAnswered(hard.host.namespace, easy4)
    const pinging = keepPinging(scene, easy4)
    await until('both paths are direct', 120_000, () => areBoth('direct', hard, easy))
    for (const agent of [hard, easy])
      console.log(agent.lines.filter((line) => /path\.spray|peer\.path/.test(line)).join('\n'))

    const capture = await startCapture(hard.host.namespace, 'eth0', 'udp or tcp', scene.lab.folder)
    const size = 1000
    await hard.host.namespace.exec('ping', '-n', '-c', '20', '-i', '0.05', '-s', `${size}`, easy4)
    const large = (await capture.stop()).filter(({ length }) => length >= size)
    assert.ok(large.length >= 40, `${large.length} large packets`)
    for (const { kind, source, destination } of large) {
      assert.is(kind, 'wireguard-data')
      assert.ok([source, destination].includes('198.18.2.2:51820'), `${source} > ${destination}`)
      assert.not.ok(
        [source, destination].some((one) => /^10\..*:51820$/.test(one)),
        'a port of its own',
      )
    }

    await new Promise((resolve) => setTimeout(resolve, 30_000))
    assert.ok(await areBoth('direct', hard, easy))
    await pinging[Symbol.asyncDispose]()
  } finally {
    await scene.stop()
  }
})

rule.run()
