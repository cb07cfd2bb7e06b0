// time limit: 420 s
/** What is left on a host: nothing, after a stop, and after a crash, a start and a stop. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { type SceneOptions, startScene, until } from '../../simulations/lab/scene.ts'
import { killIfThere } from '../support/kill-if-there.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const LAN = '192.168.1.0/24'
/** A server of the internet. */
const WEB = '198.18.4.2'
const OPTIONS: SceneOptions = {
  sites: [{ kind: 'port', hosts: 2 }, { kind: 'public' }, { kind: 'public' }, { kind: 'public' }],
  registrySite: 3,
  agents: {
    router: {
      ...{ site: 1, hasNames: true },
      extra: ['--advertise-cidr', LAN, '--network-router', '--probe', 'icmp:192.168.1.11'],
    },
    exit: { site: 2, extra: ['--exit-node'], hasNames: true },
    laptop: { site: 4, hasNames: true },
  },
  // Names are written to a file of the host, which here is a file of its namespace.
  prepare: async (lab) => {
    for (const host of [lab.host(1), lab.host(2), lab.host(4)]) {
      const folder = `/etc/netns/${host.namespace.name}`
      mkdirSync(folder, { recursive: true })
      folders.push(folder)
      writeFileSync(`${folder}/hosts`, '127.0.0.1 localhost\n')
      writeFileSync(`${folder}/resolv.conf`, 'nameserver 198.18.4.2\n')
    }
  },
  enrol: 'later',
}

const folders: string[] = []
const rule = suite('what is left on a host')
const scene = await startScene(OPTIONS)
const [router, exit, laptop] = ['router', 'exit', 'laptop'].map((name) => scene.agent(name)) as [
  LabAgent,
  LabAgent,
  LabAgent,
]
const agents = [router, exit, laptop]

/** All that an agent may change: rules, routes, addresses, switches, and who answers for names. */
async function hostOf({ host: { namespace } }: LabAgent): Promise<string> {
  const text = await namespace.exec(
    'sh',
    '-c',
    `ip -brief link; ip -brief address; ip -4 rule; ip -6 rule
     ip -4 route show table all; ip -6 route show table all
     nft list ruleset; iptables-save; cat /etc/hosts /etc/resolv.conf
     sysctl -a -r '^net\\.(ipv4|ipv6)\\.' 2>/dev/null | sort`,
  )
  // What the kernel counts, and when iptables was asked.
  return text
    .split('\n')
    .map((line) => line.replace(/counter packets \d+ bytes \d+|expires \S+|\[\d+:\d+\]/g, ''))
    .filter((line) => !/^#|dentry|inode|\.nf_conntrack_count|fe80::/.test(line))
    .join('\n')
}

const before = new Map<LabAgent, string>()
for (const agent of agents) before.set(agent, await hostOf(agent))

async function isAsBefore(when: string): Promise<void> {
  for (const agent of agents) {
    const [was, is] = [before.get(agent)?.split('\n') ?? [], (await hostOf(agent)).split('\n')]
    const differences = [
      ...was.filter((line) => !is.includes(line)).map((line) => `missing: ${line}`),
      ...is.filter((line) => !was.includes(line)).map((line) => `left: ${line}`),
    ]
    assert.equal(differences, [], `${agent.name} ${when}`)
  }
}

/** A router, an exit, and a laptop that uses both, with rules and names. */
async function allInUse(): Promise<void> {
  await until('the router carries', 60_000, async () =>
    (await laptop.routes()).some(({ prefix, holder }) => prefix === LAN && holder === 'router'),
  )
  await untilAnswered(laptop.host.namespace, '192.168.1.11', 60_000)
  await until('the exit is used', 60_000, async () => {
    await laptop.nexctl('exit-node', 'use', 'exit')
    return (await laptop.nexctl('exit-node', 'list')).stdout.includes('on: exit')
  })
  await untilAnswered(laptop.host.namespace, WEB, 60_000)
  for (const agent of agents) assert.not.equal(await hostOf(agent), before.get(agent), agent.name)
}

rule('is nothing after a stop', async () => {
  for (const agent of agents) await scene.enrol(agent)
  await scene.grantPrefixes('router', [LAN])
  await scene.grantPrefixes('exit', ['0.0.0.0/0', '::/0'], { roles: ['exit-node'] })
  await allInUse()
  for (const agent of agents) await agent.stop()
  await isAsBefore('after a stop')
})

rule('is nothing after a crash, a start and a stop', async () => {
  for (const agent of agents) agent.start()
  for (const agent of agents) await agent.started()
  await allInUse()
  for (const agent of agents) {
    for (const pid of await agent.pids()) killIfThere(pid)
    await agent.stop('SIGKILL').catch(() => undefined)
  }
  for (const agent of agents) agent.start()
  for (const agent of agents) await agent.started()
  for (const agent of agents) await agent.stop()
  await isAsBefore('after a crash, a start and a stop')
})

rule.after(async () => {
  await scene.stop()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
rule.run()
