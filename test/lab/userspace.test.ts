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

rule('takes an address over from a device with an interface, and gives it back', async () => {
  if (boxed === undefined || laptop === undefined || far === undefined) throw new Error('no agents')
  const [address, prefix] = ['10.99.0.1', '10.99.0.1/32']
  const says = (agent: LabAgent, ...words: readonly string[]): Promise<number> =>
    until(`${agent.name}: ${words.join(' ')}`, 60_000, async () => {
      return (await agent.nexctl(...words)).status === 0
    })
  for (const { name, host } of [boxed, laptop]) {
    const serve = `require('node:net').createServer((socket) => socket.end('${name}')).listen(8080)`
    const args = ['-e', `${serve}.on('listening', () => console.log('listening'))`]
    const log = `${scene.lab.folder}/${name}-service.log`
    await host.namespace.spawn(log, process.execPath, args).waitFor(/listening/)
    await scene.grantPrefix(name, prefix)
  }
  await says(boxed, 'expose', '8080')
  await says(far, 'nexd', 'proxy', 'add', '--egress', `tcp:9000:${address}:8080`)
  const ask = 'exec 3<>/dev/tcp/127.0.0.1/9000; cat <&3'
  const answersAs = (name: string): Promise<number> =>
    until(`${name} answers at the address`, 60_000, async () => {
      const { stdout } = await far.host.namespace.attempt('timeout', '5', 'bash', '-c', ask)
      return stdout === name
    })
  await says(laptop, 'route', 'advertise', prefix)
  await answersAs('laptop')
  await says(boxed, 'route', 'advertise', prefix)
  await answersAs('boxed')
  await says(boxed, 'route', 'move', prefix, '--to', 'laptop')
  await answersAs('laptop')
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
