// time limit: 120 s
/** A firewall that fails under a running agent: nothing passes until it works again, and everybody is told. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { POLICY_STATUS, type PolicyHolding } from '../../agent/control/policy-report.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { startCapture } from '../../simulations/lab/capture.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'ping', 'tcpdump')

/** Who may ping anybody: the others are denied. */
const onlyPingsOf = (name: string): string => `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  "*":
    inbound_rules: [{ip_protocol: icmp, devices: [${name}]}]
`
/** The next look of a daemon that failed is 5 s away; a machine that others use too is slower. */
const SOON_MS = 15_000

const rule = suite('a device whose nft breaks')
const scene = await startScene({
  sites: ['public', 'public', 'public'].map((kind) => ({ kind: kind as 'public' })),
  registrySite: 3,
  agents: {},
  enrol: 'key',
})
const key = await scene.registrationKey()
const [server, client] = [scene.addAgent('server', 1, 0, key), scene.addAgent('client', 2, 0, key)]
const folder = join(scene.lab.folder, 'bin')
const broken = join(folder, 'broken')
makeNft()
server.start(['env', `PATH=${folder}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`])
client.start()
await Promise.all([server, client].map((agent) => agent.started()))
const [server4 = ''] = await server.addresses()
const [client4 = ''] = await client.addresses()

/** An nft for the server's nexd alone, which fails for as long as there is that file. */
function makeNft(): void {
  mkdirSync(folder)
  const lines = [
    '#!/bin/sh',
    `if [ -e ${broken} ]; then echo broken >&2; exit 1; fi`,
    'PATH=/usr/sbin:/sbin:/usr/bin:/bin',
    'exec nft "$@"',
  ]
  writeFileSync(join(folder, 'nft'), `${lines.join('\n')}\n`)
  chmodSync(join(folder, 'nft'), 0o755)
}

/** What `nexctl policy status` of one says of the server. */
async function held(by: LabAgent): Promise<PolicyHolding | undefined> {
  const { stdout } = await by.nexctl('--output', 'json', 'policy', 'status')
  return POLICY_STATUS.parse(JSON.parse(stdout)).devices.find(({ name }) => name === server.name)
}

async function untilHeld(
  revision: number,
  state: PolicyHolding['state'],
  by: LabAgent,
): Promise<void> {
  await until(`${by.name} says ${state} of ${revision}`, SOON_MS, async () => {
    const said = await held(by)
    return said?.revision === revision && said.state === state
  })
}

async function save(revision: number, text: string): Promise<void> {
  await scene.call('PUT', 'policy', { text, revision: revision - 1 })
}

async function assertNothingPasses(): Promise<void> {
  const { namespace } = server.host
  const captures = await Promise.all([
    startCapture(namespace, server.options.interfaceName, `src ${client4}`, scene.lab.folder),
    startCapture(namespace, 'wan', 'icmp', scene.lab.folder),
  ])
  const pings = await Promise.all([
    ping(client.host.namespace, server4, { count: 5, waitMs: 500 }),
    ping(namespace, client4, { count: 5, waitMs: 500 }),
  ])
  assert.equal(
    pings.map(({ received }) => received),
    [0, 0],
  )
  const [arrived, leaked] = await Promise.all(captures.map((each) => each.stop()))
  assert.equal(arrived, [], 'nothing comes out of the tunnel')
  assert.equal(leaked, [], 'and nothing leaves beside it')
}

/** Loudly in the log, here and to the others. */
async function assertIsClosed(revision: number): Promise<void> {
  await server.process.waitFor(new RegExp(`"error".*policy\\.closed.*"revision":${revision}`))
  await untilHeld(revision, 'closed', server)
  assert.match((await held(server))?.reason ?? '', /nft.*failed with status 1: broken/)
  await Promise.all([untilHeld(revision, 'closed', client), assertNothingPasses()])
  const text = (await client.nexctl('policy', 'status')).stdout
  assert.match(text, new RegExp(`^revision ${revision}: enforced by 1 of 2$`, 'm'))
}

rule('enforces the policy before', async () => {
  await save(1, onlyPingsOf('client'))
  for (const agent of [server, client]) await untilHeld(1, 'enforced', agent)
  await untilAnswered(client.host.namespace, server4)
  assert.is((await ping(server.host.namespace, client4, { count: 2, waitMs: 500 })).received, 0)
})

rule('is closed when its rules are flushed and cannot be put back, and says so', async () => {
  writeFileSync(broken, '')
  await server.host.namespace.exec('nft', 'flush', 'ruleset')
  await assertIsClosed(1)
})

rule('enforces it again by itself when nft works', async () => {
  rmSync(broken)
  await untilHeld(1, 'enforced', server)
  await untilAnswered(client.host.namespace, server4, SOON_MS)
  assert.match(await server.host.namespace.exec('nft', 'list', 'tables'), /nexodus-policy-/)
})

rule(
  'is closed when a new policy cannot be applied, to what the one before allowed too',
  async () => {
    writeFileSync(broken, '')
    await save(2, onlyPingsOf('server'))
    await assertIsClosed(2)
  },
)

rule('enforces the new one by itself when nft works', async () => {
  rmSync(broken)
  await untilHeld(2, 'enforced', server)
  await untilAnswered(server.host.namespace, client4, SOON_MS)
  assert.is((await ping(client.host.namespace, server4, { count: 2, waitMs: 500 })).received, 0)
})

rule.after(() => scene.stop())
rule.run()
