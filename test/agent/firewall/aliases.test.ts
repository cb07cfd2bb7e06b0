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
  const leaving = [pair('100.64.0.9/32', '241.2.3.9/32')]
  const receiver = python(others.name, RECEIVE)
  const lines = createInterface({ input: receiver.stdout })
  await once(lines, 'line')
  const seen: unknown[] = []
  for (const aliases of [{}, { leaving }, {}]) {
    await enforce(aliases)
    const answered = once(lines, 'line')
    await once(python(host.name, SEND.replace('TO', others.ipv4)), 'exit')
    seen.push(...(await answered))
  }
  assert.equal(seen, ['100.64.0.9', '241.2.3.9', '100.64.0.9'])
  receiver.kill('SIGKILL')
  await once(receiver, 'exit')
})

const RECEIVE = `import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("", 7000))
print("ready", flush=True)
while True: print(receiver.recvfrom(64)[1][0], flush=True)`
const SEND = `import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("100.64.0.9", 0))
sender.sendto(b"x", ("TO", 7000))`

function python(namespace: string, program: string) {
  return spawn('ip', ['netns', 'exec', namespace, 'python3', '-c', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

rule.run()
