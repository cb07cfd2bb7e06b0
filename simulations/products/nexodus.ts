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
  await Promise.all([hub, ...members.values()].map((agent) => scene.enrol(agent)))
  const addresses = new Map<string, string>()
  for (const [name, agent] of members) addresses.set(name, (await agent.addresses())[0] ?? '')
  const agentOf = (name: MemberName): LabAgent => scene.agent(name)
  await until(
    'the hub knows them all',
    30_000,
    async () => (await hub.peers()).length === members.size,
  )
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  await Promise.all([...members.values()].map((agent) => agent.stop()))
  return {
    hasHub: true,
    address: (name) => addresses.get(name) ?? '',
    start: (name) => void agentOf(name).start(),
    stop: (name, signal) => agentOf(name).stop(signal),
    killHub: () => hub.stop('SIGKILL'),
    killServer: () => scene.stopRegistry('SIGKILL'),
    startHub: async () => {
      hub.start()
      await hub.started()
    },
    startServer: () => scene.startRegistry(),
    processes: (name) => agentOf(name).pids(),
    close: () => scene.stopProcesses(),
  }
}
