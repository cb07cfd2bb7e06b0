/** Idle ground: where agents idle. With a registry that enrolled all members, those included that never run; or
 *  without one, in an organization that was made beforehand. */
import { systemClock } from '../../agent/system-clock.ts'
import { agentProgram } from '../../deploy/agent-program.ts'
import { parseIpAddress } from '../../protocol/address.ts'
import { LabAgent } from '../lab/agent.ts'
import { createLab } from '../lab/lab.ts'
import { ACCESS_DELAY_MS, startScene } from '../lab/scene.ts'
import { layReadyOrganization } from './ready-organization.ts'

const GHOSTS = new URL('ghosts.ts', import.meta.url).pathname
/** The second half of RFC 2544's addresses: what is sent there is lost, as on the way to a device that is off. */
const NOWHERE = '198.19.0.0/16'

export interface IdleGround {
  readonly described: string
  /** The link of an agent's host. */
  readonly link: string
  /** Of the organization, that run beside the agents. */
  readonly others: number
  /** Members that there are when so many agents have been started. */
  members(started: number): number
  /** An agent that does not run yet, from 1. */
  agent(number: number): LabAgent
  stop(): Promise<void>
}

interface GroundOptions {
  readonly agents: number
  readonly members: number
}

/** A public hub, agents behind NATs of their own, and the registry. */
export async function enrolledGround({ agents, members }: GroundOptions): Promise<IdleGround> {
  const registrySite = agents + 2
  const scene = await startScene({
    sites: Array.from({ length: registrySite }, (_, index) => ({
      kind: index === 0 || index === registrySite - 1 ? ('public' as const) : ('port' as const),
      delayMs: ACCESS_DELAY_MS,
    })),
    registrySite,
    agents: { hub: { site: 1 } },
    enrol: 'key',
  })
  const key = await scene.registrationKey()
  const ghosts = members - agents - 1
  await scene.lab.core.exec(process.execPath, GHOSTS, scene.registryUrl, key, String(ghosts))
  return {
    described: `${members} members: a public hub, ${agents} behind NATs, ${ghosts} that never run`,
    ...{ link: 'eth0', others: 1 },
    members: (started) => 1 + started + ghosts,
    agent: (number) => scene.addAgent(`agent-${number}`, number + 1, 0, key),
    stop: () => scene.stop(),
  }
}

/** Agents at public addresses, and no registry. */
export async function readyGround({ agents, members }: GroundOptions): Promise<IdleGround> {
  const lab = await createLab({
    sites: Array.from({ length: agents }, () => ({
      kind: 'public' as const,
      delayMs: ACCESS_DELAY_MS,
    })),
  })
  await lab.core.exec('ip', 'route', 'add', 'blackhole', NOWHERE)
  const program = await agentProgram()
  const registry = `http://${lab.host(1).address}:3000`
  const made = Array.from(
    { length: agents },
    (_, index) =>
      new LabAgent({
        program,
        ...{ name: `agent-${index + 1}`, host: lab.host(index + 1), folder: lab.folder, registry },
        interfaceName: `${lab.prefix}${index}`,
      }),
  )
  const seats = made.map(({ name, stateDirectory, host: { address } }) => ({
    ...{ name, stateDirectory, address },
  }))
  const addressOf = (ghost: number) => parseIpAddress(`198.19.${ghost >> 8}.${ghost & 255}`)
  await layReadyOrganization({ registry, seats, members, addressOf, now: systemClock.now() })
  return {
    described: `${members} members: ${agents} at public addresses, ${members - agents} that never run; no registry`,
    ...{ link: 'wan', others: 0 },
    members: () => members,
    agent: (number) => {
      const agent = made[number - 1]
      if (agent === undefined) throw new Error(`no agent ${number}`)
      return agent
    },
    stop: async () => {
      await Promise.all(made.map((agent) => agent.stop()))
      lab[Symbol.dispose]()
    },
  }
}
