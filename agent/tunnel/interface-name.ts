/** Interface name: made free of what a crash left, or refused because somebody has it. */
import { removeLeftoverInterfaces } from '../host/interface.ts'
import { ownerIn, ownerPid } from '../host/owner.ts'
import type { BackendOptions } from './backend.ts'
import { TunnelError } from './errors.ts'

/** Removes interfaces that agents left when they died. Returns whether one had this name. Throws TunnelError
 *  (ERR_TUNNEL_NAME_TAKEN) if another interface has it. */
export async function freeName({ commands, interfaceName, log }: BackendOptions): Promise<boolean> {
  const { removed, holder } = await removeLeftoverInterfaces(commands, interfaceName)
  if (removed.length > 0) log('info', 'tunnel.leftover-removed', { interfaces: removed })
  if (holder === undefined) return removed.includes(interfaceName)
  const isAgent = ownerIn(holder.alias) === 'running'
  const by = isAgent ? `the agent with process ${ownerPid(holder.alias)}` : 'another interface'
  throw nameTakenError(interfaceName, `by ${by}`)
}

/** @param by who has it */
export function nameTakenError(interfaceName: string, by: string): TunnelError {
  const message = `interface name ${interfaceName} is taken ${by}`
  const hint = 'stop or remove that, or choose another name with --interface'
  return new TunnelError('ERR_TUNNEL_NAME_TAKEN', `${message} (${hint})`)
}
