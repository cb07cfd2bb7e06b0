// time limit: 240 s
/** A device with WireGuard inside its process, unprivileged, beside one with an interface, both behind NATs. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PING } from '../../agent/control/reports.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const INSIDE = ['--backend', 'userspace']
const rule = suite('WireGuard inside the process, in the laboratory')
const scene = await startScene({
  sites: [{ kind: 'port' }, { kind: 'port' }, { kind: 'symm' }, { kind: 'public' }],
  registrySite: 4,
  agents: {
    boxed: { site: 1, extra: INSIDE },
    laptop: { site: 2 },
    far: { site: 3, extra: INSIDE },
  },
  enrol: 'key',
})
const [boxed, laptop, far] = ['boxed', 'laptop', 'far'].map((name) => scene.agent(name))

async function pinged(from: LabAgent, to: string): Promise<boolean> {
  const { stdout } = await from.nexctl('--output', 'json', 'peers', 'ping', to)
  return PING.parse(JSON.parse(stdout)).received > 0
}

rule('meets wireguard-go through two NATs, directly and both ways', async () => {
  if (boxed === undefined || laptop === undefined) throw new Error('no agents')
  await until('direct', 60_000, async () => (await boxed.peer('laptop'))?.path === 'direct')
  await until('a ping out', 20_000, () => pinged(boxed, 'laptop'))
  const [address = ''] = await boxed.addresses()
  await untilAnswered(laptop.host.namespace, address)
  assert.is((await laptop.peer('boxed'))?.path, 'direct')
})

rule('goes by a relay where no hole can be punched', async () => {
  if (boxed === undefined || far === undefined) throw new Error('no agents')
  await until('a ping', 60_000, () => pinged(boxed, 'far'))
  assert.is((await boxed.peer('far'))?.path, 'relay')
  assert.ok(await pinged(far, 'boxed'))
})

rule('leaves nothing of the host changed while it runs', async () => {
  if (boxed === undefined) throw new Error('no agents')
  const { stdout } = await boxed.host.namespace.attempt(
    'sh',
    '-c',
    'ip -brief link; nft list tables',
  )
  assert.not.match(stdout, new RegExp(`${boxed.options.interfaceName}|nexodus`))
})

rule.after(() => scene.stop())
rule.run()
