// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ExitNode, startExitNode } from '../../../agent/host/exit-node.ts'
import { type ExitRouting, exitRoutes } from '../../../agent/host/policy-routing.ts'
import { parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import { needs } from '../../support/needs.ts'
import { joinedNamespaces, type Namespace } from '../tunnel/namespaces.ts'

needs('root', 'netns', 'ping')

const rule = suite('policy routing to an exit')
/** The tunnel is a cable of its own to the exit; the underlay leads by another to the internet. */
let host: Namespace
let exit: Namespace
let internet: Namespace
let spare: Namespace
let node: ExitNode
let before: string
let tunnel: string
const [WEB, WEB6, SERVER] = ['203.0.113.9', '2001:db8:9::9', '203.0.113.10']

const routing = (change: Partial<ExitRouting> = {}): ExitRouting => ({
  tunnelInterface: tunnel,
  families: new Set([4, 6]),
  sources: ['100.64.0.1', 'fd00::1'].map(parseIpAddress),
  underlayAddresses: ['10.5.0.2', '2001:db8:5::2'].map(parseIpAddress),
  udpPorts: [51820, 51821],
  servers: [parseIpAddress(SERVER)],
  beside: [],
  allowLocal: false,
  mtu: undefined,
  ...change,
})
const all = (): Promise<string> =>
  host.sh(
    'ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all | grep -v fe80',
  )
/** Of the route that the kernel takes: its device and source. */
const route = async (to: string, more = ''): Promise<string> => {
  const text = await host.sh(`ip route get ${to} ${more} 2>&1 || true`)
  const [, device] = / dev (\S+)/.exec(text) ?? []
  const [, source] = / src (\S+)/.exec(text) ?? []
  return /No route to host|unreachable/.test(text) ? 'unreachable' : `${device} ${source}`
}

rule.before(async () => {
  ;[host, exit] = await joinedNamespaces()
  ;[internet, spare] = await joinedNamespaces()
  for (const each of [host, exit, internet]) await each.sh(`ip address flush dev ${each.link}`)
  tunnel = host.link
  await host.sh(`ip address add 100.64.0.1/32 dev ${tunnel}; ip address add fd00::1/128 dev ${tunnel} nodad
    ip route add 100.64.0.0/10 dev ${tunnel}
    ip link add eth0 type veth peer name up0 netns ${internet.name}
    ip link set eth0 up; ip address add 10.5.0.2/24 dev eth0; ip address add 2001:db8:5::2/64 dev eth0 nodad
    sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1`)
  await internet.sh(`ip link set up0 up; ip address add 10.5.0.1/24 dev up0; ip address add 2001:db8:5::1/64 dev up0 nodad
    for a in ${WEB} ${SERVER}; do ip address add $a/32 dev lo; done; ip address add ${WEB6}/128 dev lo nodad`)
  await host.sh('ip route add default via 10.5.0.1; ip -6 route add default via 2001:db8:5::1')
})
rule.before.each(async () => {
  before = await all()
  node = await startExitNode(host.commands, 51820)
})
rule.after.each(async () => {
  await node[Symbol.asyncDispose]()
  assert.is(await all(), before)
})
rule.after(async () => {
  for (const each of [host, exit, internet, spare]) await each[Symbol.asyncDispose]()
})

rule('sends everything into the tunnel, from the address that the host has there', async () => {
  assert.is(await route(WEB), 'eth0 10.5.0.2')
  await node.configure(routing())
  assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
  assert.is(await route(WEB6), `${tunnel} fd00::1`)
  assert.is(await route('100.64.0.7'), `${tunnel} 100.64.0.1`)
})

rule('never sends into the tunnel what carries it', async () => {
  await node.configure(routing())
  for (const port of [51820, 51821])
    assert.is(await route(WEB, `ipproto udp sport ${port} dport 51820`), 'eth0 10.5.0.2')
  assert.is(await route(WEB, 'ipproto udp sport 40000 dport 51820'), `${tunnel} 100.64.0.1`)
  assert.is(await route(SERVER), 'eth0 10.5.0.2')
  // What somebody outside has begun, SSH for one, is answered the way it came.
  assert.is(await route(WEB, 'from 10.5.0.2'), 'eth0 undefined')
  assert.is(await route('10.5.0.1', 'ipproto udp dport 5351'), 'eth0 10.5.0.2')
})

rule('lets in what comes by the underlay, with a strict rp_filter too', async () => {
  await node.configure(routing())
  assert.is(await internet.pings('10.5.0.2'), true)
  const answered = await internet.sh(`ping -c 1 -W 2 -I ${WEB} 10.5.0.2 >/dev/null && echo yes`)
  assert.is(answered.trim(), 'yes')
})

rule('keeps questions for names from leaving beside the tunnel', async () => {
  await node.configure(routing())
  for (const resolver of ['10.5.0.1', '9.9.9.9'])
    assert.is(await route(resolver, 'ipproto udp dport 53'), `${tunnel} 100.64.0.1`)
})

rule('reaches local networks only where it is told to', async () => {
  await node.configure(routing())
  assert.is(await route('10.5.0.1'), `${tunnel} 100.64.0.1`)
  await node.configure(routing({ allowLocal: true }))
  assert.is(await route('10.5.0.1'), 'eth0 10.5.0.2')
  assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
  await node.configure(routing({ beside: [parsePrefix('10.5.0.0/24')] }))
  assert.is(await route('10.5.0.1'), 'eth0 10.5.0.2')
})

rule('makes a family unreachable that the exit does not carry', async () => {
  await node.configure(routing({ families: new Set([4]) }))
  assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
  assert.is(await route(WEB6), 'unreachable')
  await node.configure(routing({ families: new Set() }))
  assert.is(await route(WEB), 'unreachable')
})

rule('can be switched off and on again, as often as one likes (defect 16)', async () => {
  for (let time = 0; time < 3; time += 1) {
    await node.configure(routing())
    await node.configure(routing())
    assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
    await node.configure(undefined)
    assert.is(await all(), before)
  }
})

/** As systemd-networkd does when it begins. */
const FLUSH = `for f in 4 6; do ip -$f rule flush; ip -$f rule add priority 32766 lookup main; ip -$f route flush table 151820; done
  ip rule add priority 32767 lookup default`

rule('puts back what somebody else removed, all or some of it', async () => {
  await node.configure(routing())
  const made = await all()
  for (const harm of [
    FLUSH,
    'ip rule delete priority 7804',
    'ip -6 rule delete priority 7800',
    'ip route delete default table 151820',
    'ip -6 route flush table 151820',
  ]) {
    await host.sh(harm)
    assert.is.not(await all(), made)
    await node.configure(routing())
    assert.is(await all(), made, harm)
  }
})

rule('can be switched off, and on again, when somebody else removed it', async () => {
  for (const harm of [FLUSH, 'ip -4 rule delete priority 7804; ip -6 rule delete priority 7800']) {
    await node.configure(routing())
    await host.sh(harm)
    await node.configure(undefined)
    assert.is(await all(), before)
  }
  await node.configure(routing())
  assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
})

rule('is made whole, or removed, after a part of it failed', async () => {
  await node.configure(routing())
  const made = await all()
  await node.configure(undefined)
  let most = Infinity
  const run: typeof host.commands.run = async (command, args, options) => {
    const lines = options?.input?.split('\n').slice(0, most)
    if (lines === undefined) return host.commands.run(command, args, options)
    await host.commands.run(command, args, { input: `${lines.join('\n')}\n` })
    if (most < Infinity) throw new Error('the host is out of memory')
    return ''
  }
  const broken = await startExitNode({ ...host.commands, run }, 51820)
  const isMade = (wanted?: ExitRouting): Promise<boolean> =>
    broken.configure(wanted).then(
      () => true,
      () => false,
    )
  most = 9
  assert.is(await isMade(routing()), false)
  assert.match(await host.sh('ip -6 rule'), /proto 78/)
  most = Infinity
  assert.is(await isMade(routing()), true)
  assert.is(await all(), made)
  most = 3
  assert.is(await isMade(), false)
  most = Infinity
  assert.is(await isMade(), true)
  assert.is(await all(), before)
})

rule('asks the kernel nothing where no exit is wanted and none was made', async () => {
  let count = 0
  const run: typeof host.commands.run = (...words) => {
    count += 1
    return host.commands.run(...words)
  }
  const counted = await startExitNode({ ...host.commands, run }, 51820)
  count = 0
  await counted.configure(undefined)
  assert.is(count, 0)
  await counted.configure(routing())
  const first = count
  await counted.configure(routing())
  // It is as wanted: two questions of each family, and no change.
  assert.is(count - first, 4)
  await counted.configure(undefined)
  count = 0
  await counted.configure(undefined)
  assert.is(count, 0)
})

rule('keeps everything in when the tunnel’s interface goes', async () => {
  await host.sh(
    'ip link add tmp0 type veth peer name tmp1; ip link set tmp0 up; ip link set tmp1 up',
  )
  await host.sh('ip address add 100.64.0.2/32 dev tmp0; ip address add fd00::2/128 dev tmp0 nodad')
  const sources = ['100.64.0.2', 'fd00::2'].map(parseIpAddress)
  await node.configure(routing({ tunnelInterface: 'tmp0', sources }))
  assert.is(await route(WEB), 'tmp0 100.64.0.2')
  await host.sh('ip link delete tmp0')
  assert.is(await route(WEB), 'unreachable')
  assert.is(await route(WEB6), 'unreachable')
})

rule(
  'removes at its start what a crash left, of its own and of one whose interface is gone',
  async () => {
    await node.configure(routing())
    const again = await startExitNode(host.commands, 51820)
    assert.is(await all(), before)
    const other = await startExitNode(host.commands, 51840)
    await other.configure(
      routing({ tunnelInterface: 'eth0', sources: [parseIpAddress('10.5.0.2')] }),
    )
    // It runs: its interface is there.
    await startExitNode(host.commands, 51820)
    assert.is(await route(WEB), 'eth0 10.5.0.2')
    assert.match(await host.sh('ip rule'), /lookup 151840/)
    await host.sh('ip route flush table 151840; ip -6 route flush table 151840')
    await startExitNode(host.commands, 51820)
    assert.is(await all(), before)
    await again[Symbol.asyncDispose]()
    node = await startExitNode(host.commands, 51820)
  },
)

rule('leaves in force what a crash left where an exit is wanted still', async () => {
  await node.configure(routing({ udpPorts: [51820, 51821, 51999] }))
  const made = await all()
  const again = await startExitNode(host.commands, 51820, true, true)
  assert.is(await all(), made)
  await again.configure(routing())
  assert.is(await route(WEB), `${tunnel} 100.64.0.1`)
  assert.not.match(await host.sh('ip rule; ip -6 rule'), /51999/)
  await again.configure(undefined)
  assert.is(await all(), before)
  await node.configure(routing())
  const third = await startExitNode(host.commands, 51820, true, true)
  await third.configure(undefined)
  assert.is(await all(), before)
})

rule('gives each server a route once, whoever names it', () => {
  const servers = [SERVER, SERVER].map(parseIpAddress)
  const routes = exitRoutes(routing({ servers }), 1, 4)
  assert.is(routes.filter((line) => line.includes(SERVER)).length, 1)
})

rule.run()
