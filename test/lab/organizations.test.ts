// time limit: 240 s
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene } from '../../simulations/lab/scene.ts'
import { startVisitor } from '../../simulations/lab/visitor.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const rule = suite('two organizations on one registry')
const sites = [
  { kind: 'public' },
  { kind: 'port', hosts: 2 },
  { kind: 'public' },
  { kind: 'public' },
] as const
const scene = await startScene({
  sites,
  registrySite: 4,
  agents: { laptop: { site: 1 }, phone: { site: 2, index: 0 } },
  enrol: 'key',
})

// A second user, with an organization of his own.
const bob = startVisitor(scene.lab.core)
const credentials = { email: 'bob@example.org', password: 'entirely different words' }
const link = z.string().parse(await scene.person.ask({ kind: 'invite' }))
await bob.ask({ kind: 'set-up', url: link, ...credentials })
await bob.ask({ kind: 'sign-in', url: scene.registryUrl, ...credentials })
const [other = ''] = z.array(z.string()).parse(await bob.ask({ kind: 'organizations' }))
const { key } = z.object({ key: z.string() }).parse(
  await bob.ask({
    kind: 'call',
    method: 'POST',
    path: `/v1/organizations/${other}/registration-keys`,
    body: { description: 'lab', singleUse: false },
  }),
)
const [server, tablet] = [scene.addAgent('server', 3, 0, key), scene.addAgent('tablet', 2, 1, key)]
for (const agent of [server, tablet]) await scene.enrol(agent)
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]

rule('are different, though their addresses overlap', async () => {
  assert.is.not((await server.status()).organization.id, (await laptop.status()).organization.id)
  assert.is((await server.addresses())[0], (await laptop.addresses())[0])
})

rule('each connect their own devices', async () => {
  await untilAnswered(laptop.host.namespace, (await phone.addresses())[0] ?? '')
  await untilAnswered(server.host.namespace, (await tablet.addresses())[0] ?? '')
})

rule('know nothing of each other', async () => {
  assert.equal(
    (await laptop.peers()).map(({ name }) => name),
    ['phone'],
  )
  assert.equal(
    (await server.peers()).map(({ name }) => name),
    ['tablet'],
  )
  const { received } = await ping(laptop.host.namespace, (await server.addresses())[1] ?? '', {
    count: 3,
    waitMs: 300,
  })
  assert.is(received, 0)
})

rule(
  'have no mesh connection between them, though one NAT and one registry serve both',
  async () => {
    for (const agent of [laptop, phone, server, tablet]) {
      // The registry, and the one other device of its organization.
      const { mesh } = await agent.status()
      assert.ok(mesh.connections <= 3, `${agent.name} has ${mesh.connections}`)
    }
  },
)

rule('keep what belongs to one from the users of the other: not found', async () => {
  const path = `/v1/organizations/${scene.organization}/devices`
  try {
    await bob.ask({ kind: 'call', method: 'GET', path })
  } catch (error) {
    assert.match(error instanceof Error ? error.message : '', /status 404/)
    return
  }
  assert.unreachable('Bob sees the devices of Ada')
})

rule('refuse a device that brings the other organization to its registry by name', async () => {
  const folder = join(scene.lab.folder, 'pinned.state')
  const { status, stderr } = await laptop.host.namespace.attempt(
    process.execPath,
    new URL('../../agent/nexd.js', import.meta.url).pathname,
    ...[
      'up',
      '--registry',
      `${scene.registryUrl}#${scene.organization}`,
      '--registration-key',
      key,
    ],
    ...[
      '--state-dir',
      folder,
      '--socket',
      join(scene.lab.folder, 'pinned.sock'),
      '--interface',
      `${scene.lab.prefix}9`,
    ],
  )
  assert.is(status, 1)
  assert.match(stderr, new RegExp(`organization ${other}, not ${scene.organization}`))
})

rule.after(async () => {
  bob[Symbol.dispose]()
  await scene.stop()
})
rule.run()
