/** Nexodus as the laboratory runs it: a registry at a public site, a public member, and the members that are
 *  measured, enrolled before. */
import type { LabAgent } from '../lab/agent.ts'
import { openScene, until } from '../lab/scene.ts'
import { type Field, hostOf, type MemberName, memberNames, type Product } from './product.ts'

/** For members to have told each other what they know, and to have it on disk. */
const SETTLE_MS = 2000

export const nexodus: Product = {
  name: 'nexodus',
  commands: ['wireguard-go', 'nft'],
  packages: ['wireguard-go', 'wireguard-tools', 'nftables'],
  fits: () => true,
  open,
}

async function open(field: Field): ReturnType<Product['open']> {
  const scene = await openScene(field.lab, {
    sites: [],
    registrySite: field.server.site,
    registryFor: 'everybody',
    agents: {},
    enrol: 'later',
  })
  const key = await scene.registrationKey()
  const { site } = field.hub
  const hub = scene.addAgent('hub', site, 0, key)
  const members = new Map<MemberName, LabAgent>()
  for (const name of memberNames(field)) {
    const host = hostOf(field, name)
    const index = host.port.startsWith('l') ? host.port.charCodeAt(1) - 'a'.charCodeAt(0) : 0
    members.set(name, scene.addAgent(name, host.site, index, key))
  }
  const pair = [...members].flatMap(([name, agent]) => (name === 'c' ? [] : [agent]))
  await Promise.all([hub, ...pair].map((agent) => scene.enrol(agent)))
  const addresses = new Map<string, string>()
  const learn = async (agent: LabAgent): Promise<void> => {
    addresses.set(agent.name, (await agent.addresses())[0] ?? '')
  }
  await Promise.all(pair.map(learn))
  await settled(hub, pair.length)
  await Promise.all(pair.map((agent) => agent.stop()))
  // It never meets the other two, which do not run meanwhile.
  const third = members.get('c')
  if (third !== undefined) {
    await scene.enrol(third)
    await learn(third)
    await settled(hub, members.size)
    await third.stop()
  }
  let isHubRunning = true
  let isServerRunning = true
  return {
    hasHub: true,
    address: (name) => addresses.get(name) ?? '',
    start: (name) => void scene.agent(name).start(),
    stop: async (name, signal) => members.get(name)?.stop(signal),
    killHub: async () => {
      isHubRunning = false
      await hub.stop('SIGKILL')
    },
    killServer: async () => {
      if (isServerRunning) await scene.stopRegistry('SIGKILL')
      isServerRunning = false
    },
    startHub: async () => {
      if (isHubRunning) return
      hub.start()
      await hub.started()
      isHubRunning = true
    },
    startServer: async () => {
      if (!isServerRunning) await scene.startRegistry()
      isServerRunning = true
    },
    processes: (name) => scene.agent(name).pids(),
    close: () => scene.stopProcesses(),
  }
}

async function settled(hub: LabAgent, others: number): Promise<void> {
  await until('the hub knows them all', 30_000, async () => (await hub.peers()).length === others)
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
}
