/** Scene: a host with an interface that stands for the tunnel, others on its other side, and a local network behind;
 *  packets of any kind from everywhere, and which of them the host's rules let through. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Firewall, FirewallConfig } from '../../../agent/firewall/firewall.ts'
import { nftFirewall } from '../../../agent/firewall/nft-firewall.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { PolicyRules } from '../../../protocol/policy-rules.ts'
import { ipPacket } from '../../support/packets.ts'
import { OWN, type Packet, PEERS, type Way } from '../../support/policies.ts'
import { joinedNamespaces, type Namespace } from '../tunnel/namespaces.ts'

const SEND = new URL('send.py', import.meta.url).pathname

export interface Scene extends AsyncDisposable {
  readonly host: Namespace
  readonly others: Namespace
  readonly firewall: Firewall
  /** Lines of `level event`. */
  readonly logged: string[]
  enforce(policy: PolicyRules, meshPorts?: FirewallConfig['meshPorts']): Promise<void>
  /** Lines of send.py, from the others. */
  sendOutside(lines: readonly string[]): Promise<void>
  /** The same, from the host. */
  sendInside(lines: readonly string[]): Promise<void>
  /** Which of these came through, by their place. All are flows of their own. */
  passing(packets: readonly { readonly way: Way; readonly packet: Packet }[]): Promise<Set<number>>
}

export async function startScene(): Promise<Scene> {
  const [others, host] = await joinedNamespaces()
  const logged: string[] = []
  const firewall = nftFirewall({
    interfaceName: host.link,
    commands: host.commands,
    clock: systemClock,
    log: (level, event) => void logged.push(`${level} ${event}`),
  })
  await layOut(host, others)
  await host.commands.run('nft', ['-f', '-'], { input: recorder(host.link) })
  const senders = { host: startSender(host), others: startSender(others) }
  const macs = { tunnel: await macOf(host, host.link), lan: await macOf(host, 'lan') }
  return {
    ...{ host, others, firewall, logged },
    sendOutside: (lines) => senders.others.send(lines),
    sendInside: (lines) => senders.host.send(lines),
    enforce: (policy, meshPorts) => firewall.enforce(configOf(policy, meshPorts)),
    passing: async (packets) => {
      await host.commands.run('nft', ['-f', '-'], { input: FORGET })
      const lines = packets.map(({ way, packet }, index) => line(way, packet, index, macs, others))
      const outside = lines.filter(({ from }) => from === 'others').map(({ text }) => text)
      const inside = lines.filter(({ from }) => from === 'host').map(({ text }) => text)
      await senders.others.send(outside)
      await senders.host.send(inside)
      return recorded(host)
    },
    async [Symbol.asyncDispose]() {
      await firewall[Symbol.asyncDispose]()
      await Promise.all([senders.host.end(), senders.others.end()])
      await others[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
}

export function configOf(
  policy: PolicyRules,
  meshPorts: FirewallConfig['meshPorts'] = { own: [], others: [] },
): FirewallConfig {
  return { policy, own: OWN, peers: PEERS, meshPorts }
}

async function layOut(host: Namespace, others: Namespace): Promise<void> {
  await host.sh(`ip link add lan type veth peer name lan netns ${others.name}
    ip link set lan up
    ip address add 100.64.0.9/32 dev ${host.link}; ip address add fd00::9/128 dev ${host.link} nodad
    for to in 100.64.0.0/24 10.1.0.0/16; do ip route add $to dev ${host.link}; done
    for to in fd00::/16 fd10::/32; do ip -6 route add $to dev ${host.link}; done
    for to in 10.50.0.0/16 10.60.0.0/16; do ip route add $to dev lan; done
    for to in fd50::/32 fd60::/32; do ip -6 route add $to dev lan; done
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    for each in all default ${host.link} lan; do sysctl -qw net.ipv4.conf.$each.rp_filter=0; done`)
  await others.sh('ip link set lan up')
}

async function macOf(host: Namespace, link: string): Promise<string> {
  return (await host.sh(`cat /sys/class/net/${link}/address`)).trim()
}

/** Writes down what our table let through, by a number in the header, and ends it there. */
function recorder(tunnel: string): string {
  const record = (set: string): string =>
    `ip id 1-65535 add @${set}4 { ip id } drop
    ip6 flowlabel 1-65535 add @${set}6 { ip6 flowlabel } drop`
  const table = (body: string): string =>
    `table inet recorder\ndelete table inet recorder\ntable inet recorder {${body}}\n`
  return table(`
  set seen4 { typeof ip id; size 65535; flags dynamic; }
  set seen6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
  chain input { type filter hook input priority 50; policy accept;
    iifname != "${tunnel}" accept
    ${record('seen')}
  }
  chain output { type filter hook output priority 50; policy accept;
    oifname != "${tunnel}" accept
    ct state related drop
    ct direction reply drop
    ${record('seen')}
  }
  chain forward { type filter hook forward priority 50; policy accept;
    ${record('seen')}
  }
`)
}

const FORGET = 'flush set inet recorder seen4\nflush set inet recorder seen6\n'

interface Sender {
  /** Resolves when the kernel has had them all. */
  send(lines: readonly string[]): Promise<void>
  end(): Promise<void>
}

function startSender(from: Namespace): Sender {
  const child = spawn('ip', ['netns', 'exec', from.name, 'python3', '-u', SEND], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const answers = createInterface({ input: child.stdout })
  return {
    send: async (lines) => {
      const answered = once(answers, 'line')
      child.stdin.write(`${lines.join('')}done\n`)
      await answered
    },
    end: async () => {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}

async function recorded(host: Namespace): Promise<Set<number>> {
  const lists = await Promise.all(
    ['seen4', 'seen6'].map((set) =>
      host.commands.run('nft', ['list', 'set', 'inet', 'recorder', set]),
    ),
  )
  const ids = lists.flatMap((text) => {
    const list = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? ''
    return list
      .split(',')
      .filter((each) => each.trim() !== '')
      .map(Number)
  })
  // A packet's number is its place and one: 0 is what packets have that nobody numbered.
  return new Set(ids.map((id) => id - 1))
}

function line(
  way: Way,
  packet: Packet,
  index: number,
  macs: { readonly tunnel: string; readonly lan: string },
  others: Namespace,
): { readonly from: 'host' | 'others'; readonly text: string } {
  const bytes = ipPacket({ ...packet, sourcePort: 1024 + index, id: index + 1 })
  const hex = Buffer.from(bytes).toString('hex')
  if (way === 'out') return { from: 'host', text: `raw ${hex}\n` }
  const cable = way === 'from-lan' ? `lan ${macs.lan}` : `${others.link} ${macs.tunnel}`
  return { from: 'others', text: `frame ${cable} ${hex}\n` }
}
