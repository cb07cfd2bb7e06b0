// time limit: 420 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { startCapture } from '../../simulations/lab/capture.ts'
import type { Namespace } from '../../simulations/lab/namespace.ts'
import { keepPinging, ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'tcpdump', 'iptables', 'conntrack', 'ping')

/** Longer than it takes to be relayed for 5 s, and several rounds, on a slow machine. */
const FOUND_MS = 150_000

/** A NAT with a mapping for each destination, and a port-restricted one; a member that others see them by, and the
 *  registry. */
function startHardPair(extra: readonly string[], ofEasy = extra): Promise<Scene> {
  return startScene({
    sites: (['symm', 'port', 'public', 'public'] as const).map((kind) => ({
      kind,
      delayMs: ACCESS_DELAY_MS,
    })),
    registrySite: 4,
    agents: { hub: { site: 3 }, hard: { site: 1, extra }, easy: { site: 2, extra: ofEasy } },
    enrol: 'key',
  })
}

async function areBoth(path: string, a: LabAgent, b: LabAgent): Promise<boolean> {
  return (await a.peer(b.name))?.path === path && (await b.peer(a.name))?.path === path
}

function sprays({ lines }: LabAgent): readonly string[] {
  return lines.filter((line) => line.includes('path.spray'))
}

const off = suite('without --spray a pair with a hard NAT (SPEC §10.8)')

off('stays relayed, and nobody opens or probes anything', async () => {
  const scene = await startHardPair([])
  try {
    const [hard, easy] = [scene.agent('hard'), scene.agent('easy')]
    const [easy4 = ''] = await easy.addresses()
    await untilAnswered(hard.host.namespace, easy4)
    await ping(hard.host.namespace, easy4, { count: 150, intervalMs: 100 })
    assert.ok(await areBoth('relay', hard, easy))
    assert.equal([...sprays(hard), ...sprays(easy)], [])
  } finally {
    await scene.stop()
  }
})

off.run()

const on = suite('with --spray on both sides a pair with a hard NAT (SPEC §10.8)')
let scene: Scene
let hard: LabAgent
let easy: LabAgent
let easy4: string
let from: Namespace
let pinging: AsyncDisposable | undefined

on.before(async () => {
  scene = await startHardPair(['--spray'])
  hard = scene.agent('hard')
  easy = scene.agent('easy')
  easy4 = (await easy.addresses())[0] ?? ''
  from = hard.host.namespace
})

const rules = (): Promise<string> => from.exec('nft', 'list', 'ruleset')
/** The port that carries, of those that were opened. */
const diverted = async (): Promise<string | undefined> =>
  /elements = \{ 198\.18\.2\.2 \. 51820 : (\d+)/.exec(await rules())?.[1]

on('comes from the relay to a direct path', async () => {
  await untilAnswered(from, easy4)
  // Nothing is sprayed for a peer that nobody talks to.
  pinging = keepPinging(from, easy4, { folder: scene.lab.folder })
  await until('both paths are direct', FOUND_MS, () => areBoth('direct', hard, easy))
  for (const agent of [hard, easy]) assert.match(sprays(agent).join('\n'), /path\.spray-found/)
})

on('sends its packets by one of the ports that were opened, and not by any relay', async () => {
  const capture = await startCapture(from, 'eth0', 'udp or tcp', scene.lab.folder)
  const size = 1000
  await from.exec('ping', '-n', '-c', '20', '-i', '0.05', '-s', `${size}`, easy4)
  const large = (await capture.stop()).filter(
    ({ kind, length }) => kind === 'wireguard-data' && length >= size,
  )
  assert.ok(large.length >= 40, `${large.length} large packets`)
  const ends = new Set(large.flatMap(({ source, destination }) => [source, destination]))
  assert.is(ends.size, 2, [...ends].join(' '))
  assert.ok(ends.delete('198.18.2.2:51820'))
  assert.not.match([...ends].join(), /:51820$/)
})

on('stays direct', async () => {
  const endpoint = async () => (await easy.peer('hard'))?.endpoint
  const before = await endpoint()
  const { sent, received } = await ping(from, easy4, { count: 300, intervalMs: 100 })
  assert.ok(received >= sent - 3, `${received} of ${sent}`)
  assert.ok(await areBoth('direct', hard, easy))
  assert.is(await endpoint(), before)
})

on('finds another path when the NAT has forgotten, and gives up the first', async () => {
  const first = await diverted()
  assert.ok(first !== undefined)
  await scene.lab.flush(1)
  await until('the relay carries', 60_000, () => areBoth('relay', hard, easy))
  await until('nothing is diverted', 60_000, async () => (await diverted()) === undefined)
  await until('both paths are direct again', FOUND_MS, () => areBoth('direct', hard, easy))
  assert.is.not(await diverted(), first)
})

on('leaves nothing on the host when it stops, nor after a crash and a new start', async () => {
  await pinging?.[Symbol.asyncDispose]()
  await hard.stop('SIGKILL')
  const left = await diverted()
  assert.ok(left !== undefined, 'what a crash leaves')
  hard.start()
  await hard.started()
  assert.is.not(await diverted(), left)
  await hard.stop()
  assert.is((await rules()).trim(), '')
})

on.after(() => scene.stop())
on.run()

const inside = suite('with --spray where WireGuard runs inside the process')

inside('all leaves by the socket that met a mapping, and the path stays direct', async () => {
  const scene = await startHardPair(
    ['--spray', '--backend', 'tun'],
    ['--spray', '--backend', 'userspace'],
  )
  try {
    const [hard, easy] = [scene.agent('hard'), scene.agent('easy')]
    const [easy4 = ''] = await easy.addresses()
    const from = hard.host.namespace
    await untilAnswered(from, easy4)
    await using _pinging = keepPinging(from, easy4, { folder: scene.lab.folder })
    await until('both paths are direct', FOUND_MS, () => areBoth('direct', hard, easy))
    for (const agent of [hard, easy]) assert.match(sprays(agent).join('\n'), /path\.spray-found/)
    const endpoint = (await easy.peer('hard'))?.endpoint
    assert.not.match(endpoint ?? '', /:51820$/)
    const { sent, received } = await ping(from, easy4, { count: 100, intervalMs: 100 })
    assert.ok(received >= sent - 1, `${received} of ${sent}`)
    assert.is((await easy.peer('hard'))?.endpoint, endpoint)
    assert.ok(await areBoth('direct', hard, easy))
  } finally {
    await scene.stop()
  }
})

inside.run()
