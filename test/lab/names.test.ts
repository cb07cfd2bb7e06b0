// time limit: 600 s
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NAMES } from '../../agent/control/names-report.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import type { Lab } from '../../simulations/lab/lab.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, TWO_NATS, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const DEVICES = ['hub', 'laptop', 'phone']
const HOSTS = '127.0.0.1\tlocalhost\n10.1.1.1 nas\n'
const script = (name: string): string => new URL(`./${name}.ts`, import.meta.url).pathname

/** `ip netns exec` mounts what is there over /etc: each host has files of its own. */
const folders: string[] = []
async function prepare(lab: Lab): Promise<void> {
  for (const site of [1, 2, 3]) {
    const folder = `/etc/netns/${lab.host(site).namespace.name}`
    folders.push(folder)
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}/hosts`, HOSTS)
    writeFileSync(`${folder}/resolv.conf`, 'nameserver 127.0.0.1\n')
  }
}
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const places = Object.fromEntries(
  Object.entries(TWO_NATS.agents).map(([name, place]) => [name, { ...place, hasNames: true }]),
)
const scene = await startScene({ ...TWO_NATS, agents: places, enrol: 'key', prepare })
const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]
const agents = [hub, laptop, phone]
const rule = suite('names of an organization')

const hostsOf = (agent: LabAgent): string =>
  readFileSync(`/etc/netns/${agent.host.namespace.name}/hosts`, 'utf8')

/** As programs of the host find it; empty where they do not. */
async function found(by: LabAgent, name: string): Promise<string> {
  const { stdout } = await by.host.namespace.attempt('getent', 'hosts', name)
  return stdout.trim().replaceAll(/\s+/g, ' ')
}

async function asked(by: LabAgent, ...questions: readonly string[]): Promise<readonly string[]> {
  const { names } = await by.status()
  const said = await by.host.namespace.exec(
    process.execPath,
    ...[script('name-queries'), names?.resolver ?? '', ...questions],
  )
  return said.trim().split('\n')
}

rule('resolve on every device, whole and short, by getent', async () => {
  for (const by of agents)
    for (const other of agents) {
      const [v4 = '', v6 = ''] = await other.addresses()
      await until(`${by.name} finds ${other.name}`, 30_000, async () =>
        (await found(by, `${other.name}.ada.nexodus`)).startsWith(v6),
      )
      assert.is(await found(by, other.name), `${v6} ${other.name}.ada.nexodus ${other.name}`)
      assert.is(await found(by, v4), `${v4} ${other.name}.ada.nexodus ${other.name}`)
    }
  assert.is(await found(laptop, 'nas'), '10.1.1.1 nas')
})

rule('are answered by the resolver of every device, with what there is not', async () => {
  const [v4 = '', v6 = ''] = await phone.addresses()
  const reverse = `${v4.split('.').toReversed().join('.')}.in-addr.arpa`
  for (const by of agents) {
    const answers = await asked(
      by,
      ...['A phone.ada.nexodus', 'AAAA phone.ada.nexodus', `PTR ${reverse}`],
      ...[`A phone.${scene.organization}.nexodus`, 'TXT phone.ada.nexodus'],
      ...['A nobody.ada.nexodus', 'A example.org'],
    )
    assert.equal(
      answers,
      [v4, v6, 'phone.ada.nexodus', v4, 'ENODATA', 'ENOTFOUND', 'EREFUSED'],
      by.name,
    )
  }
})

rule('are listed, and how they come to programs is told', async () => {
  const { stdout } = await hub.nexctl('--output', 'json', 'names')
  const report = NAMES.parse(JSON.parse(stdout))
  assert.is(report.by, 'hosts')
  assert.equal(
    report.names.map(({ name }) => name).toSorted(),
    DEVICES.map((name) => `${name}.ada.nexodus`),
  )
  const status = await hub.nexctl('status')
  assert.match(status.stdout, /names +ada\.nexodus by \/etc\/hosts, resolver 127\.88\.0\.53:53/)
})

rule('may be of an address that moves, and of a resolver behind a device', async () => {
  for (const name of ['laptop', 'phone']) await scene.grantPrefix(name, '10.99.0.0/24')
  await scene.call('PUT', 'names', {
    records: [
      { kind: 'address', name: 'db', value: '10.99.0.1' },
      { kind: 'alias', name: 'sql', value: 'db' },
    ],
    forwards: [{ domain: 'corp.example', resolvers: ['10.99.0.53:53'] }],
  })
  for (const prefix of ['10.99.0.1/32', '10.99.0.53/32'])
    await until(
      'laptop may',
      20_000,
      async () => (await laptop.nexctl('route', 'advertise', prefix)).status === 0,
    )
  for (const by of agents)
    for (const name of ['db', 'sql.ada.nexodus'])
      await until(`${by.name} finds ${name}`, 20_000, async () =>
        (await found(by, name)).startsWith('10.99.0.1 '),
      )
  await untilAnswered(hub.host.namespace, '10.99.0.53')
  const server = laptop.host.namespace.spawn(`${scene.lab.folder}/dns.log`, process.execPath, [
    script('name-server-process'),
    ...['10.99.0.53', '10.5.5.5'],
  ])
  await server.waitFor(/listening/)
  assert.equal(await asked(hub, 'A git.corp.example', 'A corp.example'), ['10.5.5.5', '10.5.5.5'])
  await until(
    'the phone may',
    20_000,
    async () => (await phone.nexctl('route', 'advertise', '10.99.0.1/32')).status === 0,
  )
  const list = (await hub.nexctl('names')).stdout
  assert.match(list, /db\.ada\.nexodus +10\.99\.0\.1 +held by (laptop|phone)/)
  assert.match(list, /corp\.example is asked of 10\.99\.0\.53:53/)
  await server.stop()
})

rule('change with the device’s own, everywhere', async () => {
  const [v4 = ''] = await phone.addresses()
  const { devices } = (await scene.call('GET', 'devices')) as {
    devices: { id: string; name: string }[]
  }
  const id = devices.find(({ name }) => name === 'phone')?.id
  await scene.call('PATCH', `devices/${id}`, { name: 'tablet' })
  for (const by of agents) {
    await until(
      `${by.name} finds the tablet`,
      30_000,
      async () => (await found(by, 'tablet')) !== '',
    )
    assert.is(await found(by, 'phone.ada.nexodus'), '', by.name)
    assert.equal(await asked(by, 'A tablet.ada.nexodus', 'A phone.ada.nexodus'), [v4, 'ENOTFOUND'])
  }
})

rule('are there with the registry dead, from a restart on', async () => {
  await scene.stopRegistry()
  await hub.stop('SIGKILL')
  assert.match(hostsOf(hub), /tablet/)
  hub.start()
  await hub.started()
  await until('hub finds laptop', 30_000, async () => (await found(hub, 'laptop')) !== '')
  const [v4 = ''] = await laptop.addresses()
  assert.equal(await asked(hub, 'A laptop.ada.nexodus'), [v4])
  assert.is(hostsOf(hub).match(/nexd begin/g)?.length, 1)
})

rule('are gone with a device that is removed', async () => {
  await scene.startRegistry()
  await scene.signInAgain()
  await scene.removeDevice('tablet')
  for (const by of [hub, laptop])
    await until(`${by.name} has no tablet`, 30_000, async () => (await found(by, 'tablet')) === '')
  // The others have left it: it hears of it by the registry, which it may try only every 30 s after that was dead.
  await until('it has no names itself', 75_000, async () => hostsOf(phone) === HOSTS)
})

rule('leave the host as it was: after a stop, and after a kill, a start and a stop', async () => {
  await laptop.stop()
  assert.is(hostsOf(laptop), HOSTS)
  await hub.stop('SIGKILL')
  assert.is.not(hostsOf(hub), HOSTS)
  hub.start()
  await hub.started()
  await hub.stop()
  assert.is(hostsOf(hub), HOSTS)
})

rule.after(() => scene.stop())
rule.run()
