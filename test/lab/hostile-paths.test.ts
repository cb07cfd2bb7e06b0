// time limit: 400 s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { peerIdOf } from '../../agent/mesh/device-peer.ts'
import { parseDeviceId } from '../../protocol/keys.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { type Packet, startCapture } from '../../simulations/lab/capture.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'
import { startAttacker } from './attacker-process.ts'
import type { UdpAttack } from './errands.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'tcpdump', 'iptables', 'ping')

/** Bytes of the headers before a datagram, which a capture counts. */
const HEADERS = 28
/** Checks to an address that does not answer, at once and in a second (SPEC §10.9), and bytes of one. */
const UNANSWERED = { burst: 64, perSecond: 1, bytes: 160 }
/** Checks of one member that are answered at one address in a second. */
const ANSWERED = 100
/** Questions of one agent that are no checks: it asks members what they see of it. */
const ASKED = 10

const rule = suite('a hostile member, paths and relays')
const kind = 'public' as const
const scene = await startScene({
  sites: [{ kind }, { kind }, { kind }, { kind }, { kind }],
  registrySite: 3,
  agents: { hub: { site: 1 }, laptop: { site: 2 } },
  enrol: 'key',
})
const [hub, laptop] = [scene.agent('hub'), scene.agent('laptop')]
const [registry, victim] = [scene.lab.host(3), scene.lab.host(5)]
const evil = scene.lab.host(4).namespace
// Nobody on the way looks at sources; answers reach whose address it is.
await evil.exec('ip', 'addr', 'add', `${victim.address}/32`, 'dev', 'lo')
const attacker = startAttacker(evil)
const VICTIM = `${victim.address}:7777`
const atPort = (agent: LabAgent) => `${agent.host.address}:51820`

const ENROLLED = z.object({
  seed: z.string(),
  organization: z.string(),
  envelopes: z.array(z.string()),
  rendezvous: z.array(z.string()),
  wireguard: z.string(),
})
const key = await scene.registrationKey()
const mallory = ENROLLED.parse(
  await attacker.ask({ kind: 'enrol', registry: scene.registryUrl, key, name: 'mallory' }),
)
const idOf = async (agent: LabAgent) => parseDeviceId((await agent.status()).deviceId)
const [hubId, laptopId] = [await idOf(hub), await idOf(laptop)]
const addressOf = async (agent: LabAgent): Promise<string> =>
  `/ip4/${agent.host.address}/tcp/51822/p2p/${peerIdOf(await idOf(agent)).toString()}`
const targets = [
  await addressOf(hub),
  await addressOf(laptop),
  ...mallory.rendezvous.filter((each) => each.includes('/ip4/')).slice(0, 1),
]
const SENT = z.object({ packets: z.number(), bytes: z.number(), answers: z.number() })
const attack = async (errand: UdpAttack) => SENT.parse(await attacker.ask(errand))

const logOf = (file: string): string => readFileSync(join(scene.lab.folder, `${file}.log`), 'utf8')
/** The lines of an event that warn of somebody. */
const warnings = (file: string, event: string, name: string): readonly string[] =>
  logOf(file)
    .split('\n')
    .filter((line) => line.includes(`"${event}"`) && line.includes('"warn"'))
    .filter((line) => line.includes(`"${name}"`))

const [hub4 = ''] = await hub.addresses()
/** The pings of an honest pair go on; one in ten may be lost on a machine that is busy with the attack. */
const honest = async (): Promise<void> => {
  const { received, sent } = await ping(laptop.host.namespace, hub4, { count: 20, waitMs: 2000 })
  assert.ok(received >= sent * 0.9, `${received} of ${sent} pings were answered`)
}
const bothDirect = async (): Promise<boolean> =>
  (await Promise.all([hub.peer('laptop'), laptop.peer('hub')])).every((it) => it?.path === 'direct')
/** What reaches the victim while `task` runs, and for how many seconds that was. */
async function atVictim<T>(task: () => Promise<T>) {
  const capture = await startCapture(victim.namespace, 'wan', 'udp or tcp', scene.lab.folder)
  const began = performance.now()
  const result = await task()
  const packets = (await capture.stop()).filter(({ destination }) =>
    destination.startsWith(victim.address),
  )
  return { result, packets, seconds: (performance.now() - began) / 1000 }
}
const from = (packets: readonly Packet[], address: string) =>
  packets.filter(({ source }) => source.startsWith(`${address}:`))
const bytesOf = (packets: readonly Packet[]) => packets.reduce((sum, { length }) => sum + length, 0)

await untilAnswered(laptop.host.namespace, hub4)
await until('both direct', 30_000, bothDirect)
await attacker.ask({ kind: 'join', as: mallory, targets })
await until('it is a peer', 20_000, async () => (await hub.peer('mallory')) !== undefined)

rule(
  'an address that it says is its own gets few packets, whatever it says how often',
  async () => {
    const { packets, seconds } = await atVictim(() =>
      Promise.all([attacker.ask({ kind: 'point', count: 200, victim: victim.address }), honest()]),
    )
    for (const agent of [hub, laptop]) {
      const udp = from(packets, agent.host.address).filter(({ kind: one }) => one !== 'tcp')
      const most = UNANSWERED.burst + UNANSWERED.perSecond * seconds + ASKED
      console.log(`${agent.name}: ${udp.length} packets to the victim in ${seconds.toFixed(0)} s`)
      assert.ok(udp.length > 0, 'it was tried')
      assert.ok(udp.length <= most, `${udp.length} packets, ${most.toFixed(0)} at most`)
      const tcp = packets.filter(({ kind: one }) => one === 'tcp')
      assert.ok(tcp.length <= 100, `${tcp.length} packets of TCP`)
    }
    for (const log of ['hub', 'laptop']) {
      assert.ok(warnings(log, 'path.checks-held-back', 'mallory').length > 0, `${log}: checks`)
      assert.ok(warnings(log, 'mesh.member-floods', 'mallory').length > 0, `${log}: punches`)
    }
  },
)

rule('checks of its own from another source get that source no more than was sent', async () => {
  const { result, packets, seconds } = await atVictim(() =>
    Promise.all([
      attack({
        ...{ kind: 'udp', with: 'own checks', to: atPort(hub), device: hubId },
        ...{ count: 4000, source: VICTIM },
      }),
      honest(),
    ]),
  )
  const [sent] = result
  const got = from(packets, hub.host.address)
  console.log(`${got.length} packets for ${sent.packets}, ${bytesOf(got)} bytes for ${sent.bytes}`)
  assert.ok(got.length > 0)
  const answered = ANSWERED * (seconds + 1) + UNANSWERED.burst + UNANSWERED.perSecond * seconds
  assert.ok(got.length <= answered, `${got.length}, ${answered.toFixed(0)} at most`)
  const most = sent.bytes + HEADERS * sent.packets
  assert.ok(bytesOf(got) <= most + UNANSWERED.burst * UNANSWERED.bytes, `${bytesOf(got)}, ${most}`)
  assert.ok(warnings('hub', 'path.member-floods', 'mallory').length > 0)
  assert.ok(await bothDirect())
})

rule('nobody is answered who forges, and whose name is misused stays direct', async () => {
  const forged = attack({
    ...{ kind: 'udp', with: 'forged checks', to: atPort(hub) },
    ...{ device: hubId, named: laptopId, count: 20_000 },
  })
  const [sent] = await Promise.all([forged, honest()])
  assert.is(sent.answers, 0)
  assert.ok(await bothDirect())
  const [line = ''] = warnings('hub', 'path.checks-forged', 'laptop')
  assert.match(line, evilAddress())
})

/** As the hub sees it. */
function evilAddress(): string {
  return scene.lab.host(4).address
}

for (const [what, count] of [
  ['bare requests', 4000],
  ['relay datagrams', 4000],
] as const) {
  rule(`the registry gives the source of ${what} less than it got`, async () => {
    const { result: sent, packets } = await atVictim(() =>
      attack({
        ...{ kind: 'udp', with: what, to: `${registry.address}:3478` },
        ...{ count, source: VICTIM },
      }),
    )
    const got = from(packets, registry.address)
    console.log(`${got.length} packets for ${sent.packets}`)
    assert.ok(
      bytesOf(got) <= (sent.bytes + HEADERS * count) / 4,
      `${bytesOf(got)} of ${sent.bytes}`,
    )
    if (what === 'relay datagrams') assert.is(got.length, 0)
  })
}

rule('a deluge by relays that it does not read leaves the others be, and names it', async () => {
  const memory = () =>
    Number(
      /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${scene.registry.child.pid}/status`, 'utf8'))?.[1],
    ) / 1024
  const before = memory()
  const [sent] = await Promise.all([
    attacker.ask({ kind: 'deluge', count: 20_000, device: hubId }),
    honest(),
  ])
  assert.ok(Number(sent) > 1000, `${sent} frames`)
  const grown = memory() - before
  console.log(`${sent} frames; the registry has grown by ${Math.round(grown)} MB`)
  assert.ok(grown < 150, `${grown} MB`)
  assert.ok(warnings('registry', 'relay.datagrams-dropped', 'mallory').length > 0)
  await honest()
  await until('both direct', 20_000, bothDirect)
})

rule('no log has more than a few lines of it all', () => {
  for (const log of ['hub', 'laptop', 'registry']) {
    const lines = logOf(log).split('\n')
    const about = lines.filter((line) => line.includes('"mallory"'))
    assert.ok(about.length < 200, `${log}: ${about.length} lines`)
  }
})

rule.after(async () => {
  attacker[Symbol.dispose]()
  await scene.stop()
})
rule.run()
