/** Aliases in the kernel's tables: what arrives is judged as its prefix, what leaves has its alias (SPEC §8.9). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Aliases, NO_ALIASES } from '../../../agent/firewall/firewall.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import { needs } from '../../support/needs.ts'
import { ipPacket } from '../../support/packets.ts'
import type { Packet } from '../../support/policies.ts'
import { configOf, type Scene, startScene } from './scene.ts'

needs('netns', 'nft', 'python3')

const rule = suite('aliases in nftables (SPEC §8.9)')
let scene: Scene

rule.before.each(async () => {
  scene = await startScene()
})
rule.after.each(async () => {
  await scene[Symbol.asyncDispose]()
})

const pair = (prefix: string, alias: string) => ({
  prefix: parsePrefix(prefix),
  alias: parsePrefix(alias),
})
const TEXT =
  'version: 1\ndefault: accept\nsecurity_groups: {web: {inbound_rules: [{ip_protocol: tcp, groups: [web]}]}}'
const POLICY = { revision: 1, ...parsePolicyDocument(TEXT).rules }
const enforce = (aliases: Partial<Aliases>): Promise<void> =>
  scene.firewall.enforce({ ...configOf(POLICY), aliases: { ...NO_ALIASES, ...aliases } })

const from = (source: string, destination: string): { way: 'in'; packet: Packet } => ({
  way: 'in',
  packet: { source, destination, protocol: 6, port: 22 },
})

rule(
  'what arrives by an alias is what it is of: to the policy and to connection tracking',
  async () => {
    const packets = [
      from('241.2.3.4', '100.64.0.9'),
      from('250.1.2.77', '100.64.0.9'),
      from('fc12::1', 'fd00::9'),
      from('fc10:0:2::5', 'fd00::9'),
    ]
    await enforce({})
    assert.equal([...(await scene.passing(packets))], [])
    await enforce({
      arriving: [
        pair('100.64.0.1/32', '241.2.3.4/32'),
        pair('10.1.2.0/24', '250.1.2.0/24'),
        pair('fd00::1/128', 'fc12::1/128'),
        pair('fd10:0:2::/48', 'fc10:0:2::/48'),
      ],
    })
    assert.equal([...(await scene.passing(packets))].toSorted(), [0, 1, 2, 3])
    await enforce({})
    assert.equal([...(await scene.passing(packets))], [])
  },
)

rule('what leaves goes by the alias, as late as the policy has judged it', async () => {
  const { host, others } = scene
  await host.sh('nft delete table inet recorder')
  // A tunnel has no neighbours to ask for; here the question itself would leave by an alias.
  const mac = (await others.sh(`cat /sys/class/net/${others.link}/address`)).trim()
  for (const address of [others.ipv4, others.ipv6])
    await host.sh(`ip neighbour replace ${address} lladdr ${mac} dev ${host.link} nud permanent`)
  const leaving = [
    pair('100.64.0.9/32', '241.2.3.9/32'),
    pair('10.50.0.0/16', '244.8.0.0/16'),
    pair('fd00::9/128', 'fc12::9/128'),
    pair('fd50::/32', 'fc50:aaaa::/32'),
  ]
  const receiver = python(others.name, RECEIVE)
  const lines = createInterface({ input: receiver.stdout })
  await once(lines, 'line')
  for (const [source, alias] of [
    ['100.64.0.9', '241.2.3.9'],
    ['10.50.7.9', '244.8.7.9'],
    ['fd00::9', 'fc12::9'],
    ['fd50::7:9', 'fc50:aaaa::7:9'],
  ] as const) {
    const to = source.includes(':') ? others.ipv6 : others.ipv4
    const seen: unknown[] = []
    for (const aliases of [{}, { leaving }, {}]) {
      await enforce(aliases)
      const arrived = once(lines, 'line')
      const packet = { source, destination: to, protocol: 17, port: 7000 }
      await scene.sendInside([`raw ${Buffer.from(ipPacket(packet)).toString('hex')}\n`])
      seen.push(...(await arrived))
    }
    assert.equal(seen, [source, alias, source])
  }
  receiver.kill('SIGKILL')
  await once(receiver, 'exit')
})

/** Of both families; a datagram whose checksum is wrong does not get so far. */
const RECEIVE = `import socket
receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
receiver.bind(("", 7000))
print("ready", flush=True)
while True: print(receiver.recvfrom(64)[1][0].removeprefix("::ffff:"), flush=True)`

function python(namespace: string, program: string) {
  return spawn('ip', ['netns', 'exec', namespace, 'python3', '-c', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

rule.run()
