// time limit: 180 s
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ownerMark } from '../../../agent/host/owner.ts'
import { type Router, type RouterConfig, startRouter } from '../../../agent/host/router.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { needs } from '../../support/needs.ts'
import { type TempDir, tempDir } from '../../support/temp-dir.ts'
import { joinedNamespaces, type Namespace } from '../tunnel/namespaces.ts'

needs('root', 'netns', 'nft', 'ping')

const rule = suite('router')
const ADVERTISED = ['10.20.0.0/24', 'fd20::/64'].map(parsePrefix)
const [LAN, LAN6, OTHER, OTHER6] = ['10.20.0.2', 'fd20::2', '10.21.0.2', 'fd21::2']
/** Joined to the router by what is a tunnel here. */
let member: Namespace
let host: Namespace
let lan: Namespace
let spare: Namespace
let dir: TempDir
let router: Router
let looks: (() => void)[]
let logged: { readonly event: string; readonly [field: string]: unknown }[]

const start = (): Promise<Router> =>
  startRouter({
    tunnelInterface: host.link,
    listenPort: 51820,
    sysctlFile: join(dir.path, 'sysctls.json'),
    commands: host.commands,
    clock: {
      every: (_ms, task) => {
        looks.push(task)
        return { cancel: () => undefined }
      },
    },
    log: (_level, event, fields) => logged.push({ event, ...fields }),
  })
const config = (change: Partial<RouterConfig> = {}): RouterConfig => ({
  prefixes: ADVERTISED,
  localPrefixes: ['10.20.0.0/24', '10.21.0.0/24', 'fd20::/64', 'fd21::/64'].map(parsePrefix),
  nat: true,
  ...change,
})
const rules = (): Promise<string> => host.sh('nft list ruleset')
const switches = (): Promise<string> =>
  host.sh('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding')
const reached = async (): Promise<string[]> => {
  const all = [LAN, LAN6, OTHER, OTHER6]
  const answers = await Promise.all(all.map((address) => member.pings(address, 1)))
  return all.filter((_, index) => answers[index])
}

rule.before(async () => {
  ;[member, host] = await joinedNamespaces()
  ;[lan, spare] = await joinedNamespaces()
  await host.sh(`ip link add lan0 type veth peer name eth0 netns ${lan.name}
    for a in 10.20.0.1/24 10.21.0.1/24; do ip address add $a dev lan0; done
    for a in fd20::1/64 fd21::1/64; do ip address add $a dev lan0 nodad; done
    ip link set lan0 up; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0`)
  await lan.sh(`ip address flush dev ${lan.link}
    for a in ${LAN}/24 ${OTHER}/24; do ip address add $a dev eth0; done
    for a in ${LAN6}/64 ${OTHER6}/64; do ip address add $a dev eth0 nodad; done
    ip link set eth0 up`)
  await member.sh(`for p in 10.20.0.0/24 10.21.0.0/24 10.30.0.0/24; do ip route add $p via ${host.ipv4}; done
    for p in fd20::/64 fd21::/64; do ip -6 route add $p via ${host.ipv6}; done`)
})
rule.before.each(async () => {
  dir = await tempDir()
  looks = []
  logged = []
  router = await start()
})
rule.after.each(async () => {
  await router[Symbol.asyncDispose]()
  const left = [/nexodus/.test(await rules()), await switches()]
  await host.sh('nft flush ruleset')
  await dir[Symbol.asyncDispose]()
  assert.equal(left, [false, '0\n0\n'])
})
rule.after(async () => {
  for (const each of [member, host, lan, spare]) await each[Symbol.asyncDispose]()
})

rule('forwards to what is advertised, of both families, and to nothing else', async () => {
  assert.equal(await reached(), [])
  await router.configure(config())
  assert.equal(await reached(), [LAN, LAN6])
  assert.ok((await router.packetsTo(parsePrefix('10.20.0.0/24'))) > 0)
})

rule('shows the hosts of the network its own address, for they know no way back', async () => {
  await router.configure(config())
  const seen = lan.sh(`timeout 5 tcpdump -lni eth0 -c 1 'icmp[0]=8' 2>/dev/null || true`)
  await new Promise((resolve) => setTimeout(resolve, 700))
  await member.pings(LAN)
  assert.match(await seen, /10\.20\.0\.1 > 10\.20\.0\.2/)
})

rule('leaves the sources as they are with NAT off: then the network needs a route', async () => {
  await router.configure(config({ nat: false }))
  assert.equal(await reached(), [])
  await lan.sh(`ip route add ${member.ipv4}/32 via 10.20.0.1`)
  assert.equal(await reached(), [LAN])
  assert.is(await lan.pings(member.ipv4), true)
  await lan.sh(`ip route delete ${member.ipv4}/32`)
})

rule('ends a connection under way when its prefix is withdrawn', async () => {
  await router.configure(config())
  const pinging = member.sh(`ping -n -i 0.2 -w 4 ${LAN} || true`)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  await router.configure(config({ prefixes: [parsePrefix('fd20::/64')] }))
  const received = Number(/(\d+) received/.exec(await pinging)?.[1])
  assert.ok(received > 2 && received < 15, `${received} of 20`)
  assert.equal(await reached(), [LAN6])
})

rule('is no way from one member to another, nor out by an exit to its own networks', async () => {
  const all = [parsePrefix('0.0.0.0/0'), parsePrefix('::/0')]
  await lan.sh('ip route add default via 10.20.0.1; ip address add 10.30.0.9/32 dev lo')
  await host.sh('ip route add 10.30.0.0/24 via 10.20.0.2')
  await router.configure(config({ prefixes: all }))
  assert.equal(await reached(), [])
  assert.is(await member.pings('10.30.0.9'), true)
  await router.configure(config({ prefixes: [...all, ...ADVERTISED] }))
  assert.equal(await reached(), [LAN, LAN6])
  await host.sh('ip route delete 10.30.0.0/24')
  await lan.sh('ip route delete default; ip address delete 10.30.0.9/32 dev lo')
})

rule('leads by an exit neither to links nor to networks beside the internet', async () => {
  const [web, metadata] = ['10.30.0.9', '169.254.169.254']
  const all = [parsePrefix('0.0.0.0/0'), parsePrefix('::/0')]
  await lan.sh(`ip route add default via 10.20.0.1
    for a in ${web} ${metadata} fd00:ec2::254; do ip address add $a dev lo; done`)
  await host.sh(`for to in 10.30.0.0/24 ${metadata}; do ip route add $to via 10.20.0.2; done
    ip route add fd00:ec2::254 via fd20::2`)
  await member.sh(
    `ip route add ${metadata} via ${host.ipv4}; ip route add fd00:ec2::254 via ${host.ipv6}`,
  )
  const answering = async () => {
    const answers = [web, metadata, 'fd00:ec2::254'].map((each) => member.pings(each, 1))
    return Promise.all(answers)
  }
  await router.configure(config({ prefixes: all }))
  assert.equal(await answering(), [true, false, false])
  // One inside the other, and one that is an address.
  const inside = ['10.30.0.0/16', '10.30.0.0/24', '10.30.0.9/32'].map(parsePrefix)
  await router.configure(config({ prefixes: all, localPrefixes: inside }))
  assert.equal(await answering(), [false, false, false])
  const advertised = parsePrefix(`${metadata}/32`)
  await router.configure(config({ prefixes: [...all, advertised], localPrefixes: inside }))
  assert.equal(await answering(), [false, true, false])
  await host.sh(
    `ip route delete 10.30.0.0/24; ip route delete ${metadata}; ip route delete fd00:ec2::254`,
  )
  await lan.sh(`ip route delete default
    for a in ${web} ${metadata} fd00:ec2::254; do ip address delete $a dev lo; done`)
})

rule('changes nothing when it is told the same again, and all of it in one act', async () => {
  await router.configure(config())
  await member.pings(LAN)
  const counted = await router.packetsTo(parsePrefix('10.20.0.0/24'))
  await router.configure(config())
  assert.is(await router.packetsTo(parsePrefix('10.20.0.0/24')), counted)
  const refused = await router.configure(config({ prefixes: ['nonsense' as never] })).then(
    () => false,
    () => true,
  )
  assert.ok(refused)
  assert.equal(await reached(), [LAN, LAN6])
})

const DOCKER = `table ip filter {
  chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
  chain DOCKER-USER { return; }
}`
const FIREWALLD = `table inet firewalld {
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    reject with icmpx admin-prohibited
  }
}`

for (const [name, text, chain, hint, passing] of [
  ['Docker', DOCKER, 'ip filter FORWARD', /DOCKER-USER -i nxtv/, [LAN6]],
  ['firewalld', FIREWALLD, 'inet firewalld filter_FORWARD', /firewall-cmd/, []],
] as const) {
  rule(
    `says that ${name} drops what it forwards, leaves that alone, and ends beside it`,
    async () => {
      const file = join(dir.path, 'foreign.nft')
      await writeFile(file, text)
      await host.sh(`nft -f ${file}`)
      const foreign = await rules()
      await router.configure(config())
      assert.equal(
        router.blocks().map((block) => block.chain),
        [chain],
      )
      const said = logged.filter(({ event }) => event === 'router.blocked')
      assert.is(said.length, 1)
      assert.match(String(said[0]?.['hint']), hint)
      assert.equal(await reached(), passing)
      // What the hint says.
      const [family, table] = chain.split(' ')
      const target = name === 'Docker' ? 'DOCKER-USER' : 'filter_FORWARD'
      const insert = `nft insert rule ${family} ${table} ${target}`
      await host.sh(`${insert} iifname ${host.link} accept; ${insert} oifname ${host.link} accept`)
      looks[0]?.()
      await router.configure(config({ prefixes: ADVERTISED.slice(0, 1) }))
      await router.configure(config())
      assert.equal(await reached(), [LAN, LAN6])
      assert.equal(router.blocks(), [])
      await router.configure(config({ prefixes: [] }))
      assert.match(await rules(), new RegExp(`^table ${family} ${table} `, 'm'))
      assert.not.match(await rules(), /nexodus/)
      assert.ok(foreign.length > 0)
      await host.sh(`nft delete table ${family} ${table}`)
    },
  )
}

rule('says what to do where switches can’t be set, and sets them once they can be', async () => {
  let isReadOnly = true
  const commands: typeof host.commands = {
    ...host.commands,
    run: (command, args, options) =>
      command === 'tee' && isReadOnly
        ? Promise.reject(new Error('Read-only file system'))
        : host.commands.run(command, args, options),
  }
  const file = join(dir.path, 'read-only.json')
  const bound = { tunnelInterface: host.link, listenPort: 51850, sysctlFile: file, commands }
  const clock = { every: () => ({ cancel: () => undefined }) }
  const shut = await startRouter({ ...bound, clock, log: () => undefined })
  const said = await shut.configure(config()).catch((error: unknown) => String(error))
  assert.match(String(said), /cannot set net\.ipv4\.ip_forward=1 \(.*ProtectKernelTunables=no/)
  isReadOnly = false
  await shut.configure(config())
  assert.is(await switches(), '1\n1\n')
  await shut[Symbol.asyncDispose]()
})

rule('comes back when a firewall has flushed every rule', async () => {
  await router.configure(config())
  await host.sh('nft flush ruleset')
  looks[0]?.()
  await router.configure(config())
  assert.equal(await reached(), [LAN, LAN6])
  assert.ok(logged.some(({ event }) => event === 'router.restored'))
})

rule('removes at its start what a crash left: rules and switches', async () => {
  await router.configure(config())
  const left = await rules()
  const dead = left.replaceAll(ownerMark(), ownerMark().replace(/\d+ \d+$/, '999999 1'))
  const file = join(dir.path, 'left.nft')
  await writeFile(file, `flush ruleset\n${dead}`)
  await host.sh(`nft -f ${file}`)
  assert.is(await switches(), '1\n1\n')
  const next = await start()
  assert.is(await rules(), '')
  assert.is(await switches(), '0\n0\n')
  await next[Symbol.asyncDispose]()
})

rule('leaves forwarding on where others have come to need it, of their family', async () => {
  const nat = 'type nat hook postrouting priority srcnat; policy accept; masquerade'
  const others = (): Promise<string> =>
    host.sh(`nft 'table ip nat { chain POSTROUTING { ${nat}; }; }'`)
  await router.configure(config())
  await others()
  await router.configure(config({ prefixes: [] }))
  assert.is(await switches(), '1\n0\n')
  const said = logged.find(({ event }) => event === 'router.forwarding-left-on')
  assert.equal(said?.['switches'], ['net/ipv4/ip_forward'])
  assert.equal(said?.['chains'], ['ip nat POSTROUTING'])
  // Who was there before did without it.
  await host.sh('sysctl -qw net.ipv4.ip_forward=0')
  await router.configure(config())
  await router.configure(config({ prefixes: [] }))
  assert.is(await switches(), '0\n0\n')
  // After a crash, too.
  await host.sh('nft delete table ip nat')
  await router.configure(config())
  await others()
  await (await start())[Symbol.asyncDispose]()
  assert.is(await switches(), '1\n0\n')
  await host.sh('sysctl -qw net.ipv4.ip_forward=0')
})

rule('leaves alone what another agent that runs has', async () => {
  await router.configure(config())
  const other = await startRouter({
    tunnelInterface: host.link,
    listenPort: 51830,
    sysctlFile: join(dir.path, 'other.json'),
    commands: host.commands,
    clock: { every: () => ({ cancel: () => undefined }) },
    log: () => undefined,
  })
  assert.match(await rules(), /nexodus-router-51820/)
  await other[Symbol.asyncDispose]()
  assert.match(await rules(), /nexodus-router-51820/)
})

rule.run()
