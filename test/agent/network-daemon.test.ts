// time limit: 600 s
/** The picture of the network from real agents without an interface: what they tell of their paths by gossip. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newToken } from '../support/api.ts'
import { type Daemons, startDaemons } from '../support/daemons.ts'
import { nexctl } from '../support/nexctl.ts'

interface Told {
  readonly devices: readonly { id: string; name: string; state: string }[]
  readonly links: readonly {
    a: string
    b: string
    kind: string
    roundTripMs?: number
    reports: readonly { by: string; kind: string }[]
  }[]
}

let daemons: Daemons

const rule = suite('picture of the network, from real agents')

rule.before(async () => {
  daemons = await startDaemons(['one', 'two', 'three'])
})
rule.after(async () => daemons[Symbol.asyncDispose]())

async function told(): Promise<Told> {
  return (await daemons.ada('GET', `${daemons.home}/network`)).json as unknown as Told
}

/** `one two direct 2`: ends, kind, and how many of them say so. */
function linesOf({ devices, links }: Told): string {
  const nameOf = (id: string) => devices.find((each) => each.id === id)?.name
  return links
    .map(({ a, b, kind, reports }) => `${nameOf(a)} ${nameOf(b)} ${kind} ${reports.length}`)
    .join('; ')
}

async function until(holds: (network: Told) => boolean): Promise<Told> {
  for (;;) {
    const network = await told()
    if (holds(network)) return network
    await sleep(300)
  }
}

rule('shows each link as both its ends tell it, with a round trip', async () => {
  const want = 'one three direct 2; one two direct 2; three two direct 2'
  const { devices, links } = await until((network) => linesOf(network) === want)
  assert.equal(
    devices.map(({ state }) => state),
    ['online', 'online', 'online'],
  )
  assert.ok(links.every(({ roundTripMs = 0 }) => roundTripMs >= 1 && roundTripMs < 10_000))
})

rule('is printed by nexctl, for people and for programs, whole or of one device', async () => {
  const file = join(daemons.folder, 'login.json')
  const { token } = await newToken(daemons.ada, ['read'])
  await writeFile(file, JSON.stringify({ registry: `${daemons.registry.url}/`, token }), {
    mode: 0o600,
  })
  const show = async (...argv: string[]) => {
    const { stdout, stderr, status } = await nexctl(['--login-file', file, ...argv])
    assert.is(status, 0, stderr)
    return stdout
  }
  const text = await show('network', 'show')
  assert.match(text, '3 of 3 devices online; 3 links direct, 0 relayed')
  assert.match(text, /^one {5}three {3}direct {2}\d+ ms/m)
  const own = JSON.parse(await show('--output', 'json', 'network', 'show', 'two')) as Told
  assert.is(own.links.length, 2)
  const wrong = await nexctl(['--login-file', file, 'network', 'show', 'nobody'])
  assert.is(wrong.status === 0, false)
  assert.match(wrong.stderr, 'nothing is called "nobody"')
})

rule(
  'forgets a device that was killed: at the registry at once, in its peers’ words soon',
  async () => {
    await daemons.stop('two', 'SIGKILL')
    const network = await until(({ links }) => links.length === 1)
    assert.is(linesOf(network), 'one three direct 2')
    const states = new Map(network.devices.map(({ name, state }) => [name, state]))
    assert.equal([states.get('one'), states.get('two')], ['online', 'offline'])
  },
)

rule.run()
