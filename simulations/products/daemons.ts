/** A network of other people's daemons: one process a host, with a file of settings made before. */
import type { Host } from '../lab/ground.ts'
import type { Running } from '../lab/namespace.ts'
import { processTree } from '../lab/processes.ts'
import { type Field, hostOf, type MemberName, type Network } from './product.ts'

export type Role = 'hub' | MemberName

const NUMBERS: Readonly<Record<Role, number>> = { hub: 1, a: 2, b: 3, c: 4 }
/** From the start of a hub until it surely listens. */
const HUB_MS = 800

/** 10.77.0.0/24 is inside everybody's network. */
export function innerAddress(role: Role): string {
  return `10.77.0.${NUMBERS[role]}`
}

export interface Command {
  readonly command: string
  readonly args: readonly string[]
}

/** @param commandOf what a host runs, in the foreground; undefined for the hub where there is none */
export async function startDaemons(
  field: Field,
  name: string,
  commandOf: (role: Role) => Command | undefined,
): Promise<Network> {
  const running = new Map<Role, Running>()
  const start = (role: Role): void => {
    const what = commandOf(role)
    if (what === undefined || running.has(role)) return
    const log = `${field.lab.folder}/${name}-${role}.log`
    running.set(role, hostFor(field, role).namespace.spawn(log, what.command, what.args))
  }
  const stop = async (role: Role, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    const ending = running.get(role)
    running.delete(role)
    await ending?.stop(signal)
  }
  const startHub = async (): Promise<void> => {
    if (running.has('hub')) return
    start('hub')
    await new Promise((resolve) => setTimeout(resolve, HUB_MS))
    const hub = running.get('hub')
    if (hub !== undefined && hub.child.exitCode !== null)
      throw new Error(`${name}: the hub ended: ${hub.lines.slice(-5).join(' / ')}`)
  }
  const hasHub = commandOf('hub') !== undefined
  if (hasHub) await startHub()
  return {
    hasHub,
    address: innerAddress,
    start,
    stop,
    killHub: () => stop('hub', 'SIGKILL'),
    // The hub is all there is of a server.
    killServer: () => stop('hub', 'SIGKILL'),
    startHub,
    startServer: async () => undefined,
    processes: async (member) => {
      const pid = running.get(member)?.child.pid
      return pid === undefined ? [] : processTree(pid)
    },
    close: async () => {
      for (const role of [...running.keys()]) await stop(role)
    },
  }
}

function hostFor(field: Field, role: Role): Host {
  return role === 'hub' ? field.hub : hostOf(field, role)
}
