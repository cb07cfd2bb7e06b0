// time limit: 600 s
/** The table on a host: put there at once or not at all, put back, and gone at the end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nftFirewall } from '../../../agent/firewall/nft-firewall.ts'
import { ownerMark } from '../../../agent/host/owner.ts'
import { CommandError, type Commands } from '../../../agent/host/run.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import type { PolicyRules } from '../../../protocol/policy-rules.ts'
import { needs } from '../../support/needs.ts'
import { ipPacket } from '../../support/packets.ts'
import type { Packet } from '../../support/policies.ts'
import { configOf, type Scene, startScene } from './scene.ts'

needs('netns', 'nft', 'python3', 'ping')

const rule = suite('policy in nftables')
let scene: Scene

rule.before.each(async () => {
  scene = await startScene()
})
rule.after.each(async () => {
  await scene[Symbol.asyncDispose]()
})

/** Of the security group `web`, which the host is in. */
function policy(group: string, fallback = 'accept'): PolicyRules {
  const text = `{version: 1, default: ${fallback}, security_groups: {web: ${group}}}`
  return { revision: 1, ...parsePolicyDocument(text).rules }
}
const CLOSED = policy('{}', 'deny')
const SSH = policy('{inbound_rules: [{ip_protocol: tcp, from_port: 22, to_port: 22}]}')

const to = (port: number, protocol = 6): { way: 'in'; packet: Packet } => ({
  way: 'in',
  packet: { source: '100.64.0.1', destination: '100.64.0.9', protocol, port },
})
const PROBES = [to(22), to(23), to(22, 17), to(0, 1)]
const passing = async () => [...(await scene.passing(PROBES))].toSorted()
const table = () => scene.host.sh('nft list tables').then((text) => text.includes('nexodus-policy'))

/** Polls as long as the test may last. */
async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(20)
}

/** Does the harm, and again where nobody noticed within five seconds: the monitor may not have listened yet. */
async function mended(harm: string, isMended: () => Promise<boolean>): Promise<void> {
  await until(async () => {
    await scene.host.sh(harm)
    for (let count = 0; count < 100; count += 1) {
      if (await isMended()) return true
      await sleep(50)
    }
    return false
  })
}

rule(
  'is put back when somebody flushes all rules, and says so (upstream’s scenario 27)',
  async () => {
    await scene.enforce(SSH)
    assert.equal(await passing(), [0])
    await mended(
      'nft list table inet recorder > /tmp/$$; nft flush ruleset; nft -f /tmp/$$; rm /tmp/$$',
      table,
    )
    await until(async () => scene.logged.includes('warn policy.restored'))
    assert.equal(await passing(), [0])
  },
)

rule('is put back when somebody empties one of its chains', async () => {
  await scene.enforce(SSH)
  const chain = `inet nexodus-policy-${scene.host.link} input`
  await mended(`nft flush chain ${chain}`, async () =>
    (await scene.host.sh(`nft list chain ${chain}`)).includes('goto arriving'),
  )
  assert.equal(await passing(), [0])
})

rule('leaves other tables alone, and what they drop stays dropped', async () => {
  await scene.host.sh(`nft -f - <<'EOF'
table inet theirs {
  chain input { type filter hook input priority 0; policy accept; tcp dport 22 drop; }
}
EOF`)
  const before = await scene.host.sh('nft list table inet theirs')
  await scene.enforce(policy('{}'))
  assert.equal(await passing(), [1, 2, 3])
  await scene.firewall[Symbol.asyncDispose]()
  assert.is(await scene.host.sh('nft list table inet theirs'), before)
  assert.not(await table())
})

rule('keeps what was in force when a new version cannot be applied', async () => {
  await scene.enforce(SSH)
  const broken: Commands = {
    ...scene.host.commands,
    run: async (command, args, options) => {
      if (options?.input?.includes('chain input') === true) {
        throw new CommandError('ERR_COMMAND_FAILED', 'nft failed')
      }
      return scene.host.commands.run(command, args, options)
    },
  }
  const second = nftFirewall({
    ...{ interfaceName: scene.host.link, commands: broken },
    ...{ clock: systemClock, log: () => undefined },
  })
  try {
    await second.enforce(configOf(policy('{}')))
    assert.unreachable('applied')
  } catch (error) {
    assert.instance(error, CommandError)
  }
  assert.equal(await passing(), [0])
})

rule('does not count as made when somebody flushes all rules before it is looked at', async () => {
  let isFlushed = false
  const commands: Commands = {
    ...scene.host.commands,
    run: async (command, args, options) => {
      const said = await scene.host.commands.run(command, args, options)
      if (options?.input?.includes('chain input') !== true || isFlushed) return said
      isFlushed = true
      return scene.host.commands.run('nft', ['flush', 'ruleset'])
    },
  }
  await using firewall = nftFirewall({
    ...{ interfaceName: scene.host.link, commands },
    ...{ clock: systemClock, log: () => undefined },
  })
  const failed = await firewall.enforce(configOf(SSH)).catch((error: unknown) => error)
  assert.instance(failed, Error)
  await firewall.enforce(configOf(SSH))
  assert.ok(await table())
})

rule('is put back also where it goes before the monitor listens', async () => {
  const commands: Commands = {
    ...scene.host.commands,
    // It hears nothing at first, and later nothing either.
    start: (_command, _args) => scene.host.commands.start('sleep', ['1000']),
  }
  await using firewall = nftFirewall({
    ...{ interfaceName: scene.host.link, commands },
    ...{ clock: systemClock, log: () => undefined },
  })
  await firewall.enforce(configOf(SSH))
  await scene.host.sh(`nft delete table inet nexodus-policy-${scene.host.link}`)
  const isBack = until(table).then(() => true)
  assert.ok(await Promise.race([isBack, sleep(20_000, false)]), 'well before the next look')
  await isBack
})

rule('a transaction with a mistake in it changes nothing (upstream’s defect 4)', async () => {
  await scene.enforce(SSH)
  const listed = () => scene.host.sh(`nft -s list table inet nexodus-policy-${scene.host.link}`)
  const before = await listed()
  const failed = await scene.host.commands
    .run('nft', ['-f', '-'], {
      input: `delete table inet nexodus-policy-${scene.host.link}\nadd rule inet nowhere x accept\n`,
    })
    .catch((error: unknown) => error)
  assert.instance(failed, CommandError)
  assert.is(await listed(), before)
})

rule('removes what an agent that died left, and not what a living one has', async () => {
  const left = (name: string, mark: string) =>
    scene.host.sh(
      `nft 'table inet nexodus-policy-${name} { chain input { accept comment "${mark}"; }; }'`,
    )
  await left('dead', ownerMark().replace(` ${process.pid} `, ' 999999999 '))
  await left('alive', ownerMark())
  await left('foreign', 'somebody')
  await scene.enforce(SSH)
  const tables = await scene.host.sh('nft list tables inet')
  assert.not.match(tables, /policy-dead/)
  assert.match(tables, /policy-alive/)
  assert.match(tables, /policy-foreign/)
})

rule('passes the mesh whatever the policy, at this host alone: not what it forwards', async () => {
  await scene.enforce(CLOSED, { own: [443], others: [8443] })
  const packet = (source: string, destination: string, port: number, protocol = 6): Packet => ({
    ...{ source, destination, protocol, port },
  })
  const [own, member, other, behind] = ['100.64.0.9', '100.64.0.1', '100.64.0.2', '10.50.0.7']
  const probes = [
    { way: 'in', packet: packet(member, own, 443) },
    { way: 'out', packet: packet(own, member, 8443) },
    { way: 'in', packet: packet(member, own, 443, 17) },
    { way: 'in', packet: packet(member, own, 8443) },
    { way: 'out', packet: packet(own, member, 443) },
    { way: 'to-lan', packet: packet(member, behind, 443) },
    { way: 'to-lan', packet: packet(member, behind, 8443) },
    { way: 'from-lan', packet: packet(behind, member, 8443) },
    { way: 'from-lan', packet: packet(behind, member, 443) },
    { way: 'through', packet: packet(member, other, 443) },
    { way: 'through', packet: packet(member, other, 8443) },
  ] as const
  assert.equal([...(await scene.passing(probes))].toSorted(), [0, 1])
})

rule('lets answers in, and asks nobody', async () => {
  await scene.enforce(policy('{inbound_rules: [{ip_protocol: udp}]}'))
  await scene.host.sh('nft delete table inet recorder')
  assert.ok(await scene.host.pings(scene.others.ipv4))
  assert.not(await scene.others.pings(scene.host.ipv4, 1))
  await scene.enforce(
    policy('{inbound_rules: [{ip_protocol: icmp}], outbound_rules: [{ip_protocol: udp}]}'),
  )
  assert.ok(await scene.others.pings(scene.host.ipv4))
  assert.not(await scene.host.pings(scene.others.ipv4, 1))
})

rule('a new version ends the flows that it denies', async () => {
  await scene.host.sh('nft delete table inet recorder')
  await scene.enforce(SSH)
  const server = python(scene.host.name, SERVER)
  await once(server.stdout, 'data')
  const client = python(scene.others.name, CLIENT.replace('HOST', scene.host.ipv4))
  client.stdin.write('\n')
  assert.is(String((await once(client.stdout, 'data'))[0]).trim(), 'answered')
  await scene.enforce(CLOSED)
  client.stdin.write('\n')
  assert.is(String((await once(client.stdout, 'data'))[0]).trim(), 'nothing')
  for (const child of [client, server]) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

const SERVER = `import socket
listener = socket.create_server(("0.0.0.0", 22))
print("ready", flush=True)
connection, _ = listener.accept()
while data := connection.recv(1): connection.send(data)`
const CLIENT = `import socket, sys
connection = socket.create_connection(("HOST", 22))
connection.settimeout(1)
for line in sys.stdin:
    connection.send(b"x")
    try: print("answered" if connection.recv(1) else "ended", flush=True)
    except TimeoutError: print("nothing", flush=True)`

function python(namespace: string, program: string) {
  return spawn('ip', ['netns', 'exec', namespace, 'python3', '-c', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
}

rule('no packet passes between two versions that both deny it', async () => {
  const [a, b] = [SSH, policy('{inbound_rules: [{ip_protocol: tcp, from_port: 21, to_port: 22}]}')]
  await scene.enforce(a)
  await scene.passing([])
  const denied = Buffer.from(ipPacket({ ...to(80).packet, sourcePort: 5000, id: 7 })).toString(
    'hex',
  )
  const mac = (await scene.host.sh(`cat /sys/class/net/${scene.host.link}/address`)).trim()
  let isDone = false
  const flood = (async () => {
    const lines = Array(500).fill(`frame ${scene.others.link} ${mac} ${denied}\n`)
    let count = 0
    while (!isDone) {
      await scene.sendOutside(lines)
      count += lines.length
    }
    return count
  })()
  for (let count = 0; count < 30; count += 1) await scene.enforce(count % 2 === 0 ? b : a)
  isDone = true
  assert.ok((await flood) > 500)
  const list = await scene.host.sh('nft list set inet recorder seen4')
  assert.not.match(list, /elements/)
})

rule.run()
