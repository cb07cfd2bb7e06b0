// time limit: 1200 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LabAgent } from '../../simulations/lab/agent.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs(
  'root',
  'netns',
  'nft',
  'wireguard-go',
  'miniupnpd',
  'conntrack',
  'iptables',
  'ping',
  'python3',
)

/** Two NATs with a port for each destination: without a mapping there is only the relay. A third host is
 *  behind a port-restricted one. */
const DELAY_MS = 10
/** A router that did not answer in time, on a busy machine, is asked again after 60 s, and after 120 more. */
const PATIENCE_MS = 240_000
const scene = await startScene({
  sites: [
    { kind: 'public', delayMs: DELAY_MS },
    { kind: 'symm', delayMs: DELAY_MS, portMapping: { protocols: ['pcp', 'nat-pmp', 'upnp'] } },
    { kind: 'symm', delayMs: DELAY_MS },
    { kind: 'port', delayMs: DELAY_MS },
  ],
  registrySite: 1,
  agents: {},
  enrol: 'later',
})
const key = await scene.registrationKey()
const laptop = scene.addAgent('laptop', 2, 0, key)
const phone = scene.addAgent('phone', 3, 0, key)
const sensor = scene.addAgent('sensor', 4, 0, key)
for (const agent of [laptop, phone, sensor]) {
  agent.start()
  await agent.started(PATIENCE_MS)
}
const router = scene.lab.mappingDaemon(2)
const MAPPED = 'udp 51820 192.168.2.10:51820'

async function bothDirect(a: LabAgent, b: LabAgent): Promise<void> {
  await until(`${a.name} and ${b.name} are direct`, PATIENCE_MS, async () => {
    const [there, back] = [await a.peer(b.name), await b.peer(a.name)]
    return there?.path === 'direct' && back?.path === 'direct'
  })
}

async function routerHas(...mappings: readonly string[]): Promise<void> {
  await until(`the router maps ${mappings.join(', ') || 'nothing'}`, PATIENCE_MS, async () => {
    return JSON.stringify(await router.mappings()) === JSON.stringify(mappings)
  })
}

const rule = suite('a host behind a NAT with a port for each destination, and a mapped port')

rule('says the mapped port, to its operator and to its peers', async () => {
  await routerHas(MAPPED)
  await until('the candidate is listed', PATIENCE_MS, async () =>
    (await laptop.status()).candidates.includes('port-mapped 198.20.2.2:51820'),
  )
  const said = laptop.lines.filter((line) => line.includes('port-mapping.'))
  assert.is(said.length, 1, said.join('\n'))
  assert.match(said[0] ?? '', /"event":"port-mapping.mapped","protocol":"pcp"/)
})

rule('is reached directly from behind another such NAT, by the mapped port', async () => {
  const [address = ''] = await laptop.addresses()
  await untilAnswered(phone.host.namespace, address, PATIENCE_MS)
  await bothDirect(phone, laptop)
  assert.is((await phone.peer('laptop'))?.endpoint, '198.20.2.2:51820')
  const { sent, received } = await ping(phone.host.namespace, address, { count: 20 })
  assert.is(received, sent)
})

rule('is reached directly from behind a port-restricted NAT', async () => {
  const [address = ''] = await sensor.addresses()
  await untilAnswered(laptop.host.namespace, address, PATIENCE_MS)
  await bothDirect(sensor, laptop)
})

rule('is mapped again after its router has restarted, and direct again', async () => {
  await router.stop()
  await router.start()
  await routerHas(MAPPED)
  await bothDirect(phone, laptop)
  const [address = ''] = await laptop.addresses()
  await untilAnswered(phone.host.namespace, address, PATIENCE_MS)
})

rule('leaves no mapping at the router when it stops', async () => {
  await laptop.stop()
  assert.equal(await router.mappings(), [])
})

rule('asks for none with --no-port-mapping, and is relayed', async () => {
  // Flows that the mapping let in would go on without it.
  await scene.lab.flush(2)
  const quiet = new LabAgent({ ...laptop.options, extra: ['--no-port-mapping'] })
  quiet.start()
  await quiet.started(PATIENCE_MS)
  const [address = ''] = await quiet.addresses()
  await untilAnswered(phone.host.namespace, address, PATIENCE_MS)
  assert.equal(await router.mappings(), [])
  assert.not((await quiet.status()).candidates.some((each) => each.startsWith('port-mapped')))
  assert.is((await quiet.peer('phone'))?.path, 'relay')
  await quiet.stop()
})

rule.after(() => scene.stop())
rule.run()
