// time limit: 600 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WhyReport } from '../../agent/why/report.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping', 'faketime')

const rule = suite('nexctl why')
const scene = await startScene({
  sites: [{ kind: 'public' }, { kind: 'port' }, { kind: 'port' }, { kind: 'public' }],
  registrySite: 1,
  agents: {},
  enrol: 'key',
})
const key = await scene.registrationKey()
// The hub is the second that sees what the NATs do.
const agents = ['laptop', 'phone', 'hub'].map((name, index) =>
  scene.addAgent(name, index + 2, 0, key),
)
const [laptop, phone, hub] = agents as [LabAgent, LabAgent, LabAgent]
for (const agent of agents) agent.start()
await Promise.all(agents.map((agent) => agent.started(120_000)))

/** Rules of a site's router, one after the other. */
async function nft(site: number, ...rules: readonly string[]): Promise<void> {
  for (const each of rules) await scene.lab.router(site).exec('nft', each)
}

/** Asks until the verdict is this one, given by both sides where `asked`; throws with the last one otherwise. */
async function verdict(
  of: LabAgent,
  peer: LabAgent,
  code: WhyReport['verdict']['code'],
  asked: 'both' | 'one' = 'one',
) {
  let report: WhyReport | undefined
  await until(`${of.name} says ${code} of ${peer.name}`, 120_000, async () => {
    report = await of.why(peer.name)
    return report.verdict.code === code && (asked === 'one' || report.theirs !== undefined)
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; it says ${JSON.stringify(report?.verdict)}`)
  })
  if (report === undefined) throw new Error('never asked')
  return report
}

async function pings(from: LabAgent, to: LabAgent): Promise<void> {
  await untilAnswered(from.host.namespace, (await to.addresses())[0] ?? '')
}

rule('port-restricted NATs on both sides: direct, with the evidence of both', async () => {
  await pings(laptop, phone)
  const report = await verdict(laptop, phone, 'direct', 'both')
  assert.match(
    report.verdict.sentence,
    /^phone is reached directly at 198\.18\.3\.2:51820 \(\d+\.\d ms\), for /,
  )
  assert.is(report.reply.kind, 'answered')
  assert.is(report.theirs?.path.endpoint, '198.18.2.2:51820')
  for (const side of [report.ours, report.theirs]) {
    assert.is(side?.natMapping, 'endpoint-independent')
    assert.is(side?.udp, 'answered')
    assert.ok((side?.wireguard?.handshakeAgoMs ?? Infinity) < 180_000)
    const used = side?.pairs.find(({ endpoint }) => endpoint === side.path.endpoint)
    assert.ok((used?.answered ?? 0) > 0 && (used?.received ?? 0) > 0, JSON.stringify(used))
  }
  assert.ok(Math.abs(report.clock?.aheadMs ?? Infinity) <= 1000 + (report.clock?.errorMs ?? 0))
})

rule('as text: the verdict first, then both sides beside each other', async () => {
  const { stdout } = await laptop.nexctl('why', 'phone')
  const lines = stdout.split('\n')
  assert.match(lines[0] ?? '', /^phone is reached directly at /)
  assert.is(lines[1], 'What to do: Nothing to do.')
  assert.ok(
    lines.some((line) => /^ +laptop +phone$/.test(line)),
    stdout,
  )
  assert.match(stdout, /^NAT mapping +endpoint-independent +endpoint-independent$/m)
  assert.match(stdout, /^Checks of phone to laptop:$/m)
})

rule('UDP blocked at one side: it names the side', async () => {
  await nft(
    3,
    'add table inet block',
    'add chain inet block f { type filter hook forward priority 0; }',
    'add rule inet block f meta l4proto udp drop',
  )
  const { verdict: said } = await verdict(laptop, phone, 'udp-blocked')
  assert.match(said.sentence, /: no UDP that phone sends is answered by anybody/)
  assert.match(said.advice, /^Let UDP out of the network of phone /)
  await nft(3, 'delete table inet block')
})

rule('two NATs with another port for each destination: relayed, and why', async () => {
  for (const site of [2, 3]) {
    await nft(
      site,
      'flush chain ip nat post',
      'add rule ip nat post oifname "wan" masquerade fully-random',
    )
    await scene.lab.flush(site)
  }
  const { verdict: said, ours, theirs } = await verdict(laptop, phone, 'hard-nats', 'both')
  assert.match(
    said.sentence,
    /^phone is reached (by the relay|over its own).* NATs of laptop \(addr/,
  )
  assert.match(said.advice, /UPnP, NAT-PMP or PCP in the router of laptop or of phone/)
  assert.is(ours.path.phase, 'relay')
  assert.ok(theirs?.natMapping.includes('dependent'), theirs?.natMapping)
})

/** To start a program with its clock so far off: faketime itself would stay between it and its signals. */
async function faketime(offset: string): Promise<readonly string[]> {
  const library = await hub.host.namespace.exec('faketime', '-f', '+0', 'printenv', 'LD_PRELOAD')
  return ['env', `LD_PRELOAD=${library.trim()}`, `FAKETIME=${offset}`]
}

rule('a clock that is minutes off, less than keeps a device out and more', async () => {
  for (const [offset, sentence] of [
    ['+3m', /but its clock is (3 min|17\d s|18\d s) ahead of that of laptop\.$/],
    ['+10m', /^The clocks of laptop and hub are more than 5 minutes apart/],
  ] as const) {
    await hub.stop()
    hub.start(await faketime(offset))
    await hub.started(120_000)
    const { verdict: said } = await verdict(laptop, hub, 'clock')
    assert.match(said.sentence, sentence)
    assert.match(said.advice, /^Run date -u on both/)
  }
})

rule('a device that is stopped: offline, and since when', async () => {
  await phone.stop()
  const { verdict: said, theirs, known, reply } = await verdict(laptop, phone, 'offline')
  assert.match(
    said.sentence,
    /^phone is offline: last heard \d+ \w+ ago, it said \d+ \w+ ago where/,
  )
  assert.match(said.sentence, /the registry is connected/)
  assert.is(theirs, undefined)
  assert.is(reply.kind, 'not-connected')
  assert.is(known.standing, 'member')
})

rule('a device that was removed: revoked, and not what became of its path', async () => {
  await scene.removeDevice('phone')
  const { verdict: said, known } = await verdict(laptop, phone, 'revoked')
  assert.match(said.sentence, /^phone was removed from the organization/)
  assert.is(known.standing, 'revoked')
})

rule('a name that nobody has: near ones are named', async () => {
  const { stderr, status } = await laptop.nexctl('why', 'fone')
  assert.is(status, 1)
  assert.match(stderr, /no device "fone" is or was a member.*did you mean phone\?/)
  assert.match((await laptop.nexctl('why', 'laptop')).stderr, /laptop is this device itself/)
})

rule('no daemon: what to do', async () => {
  await phone.stop()
  assert.match((await phone.nexctl('why', 'laptop')).stderr, /is nexd running\?/)
})

rule.after(() => scene.stop())
rule.run()
