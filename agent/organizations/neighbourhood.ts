/** Neighbourhood: this process among those of one agent: that of its first organization, which starts the others, or one
 *  of those. */
import type { OrganizationControls } from '../control/organization-report.ts'
import type { Daemon } from '../daemon.ts'
import type { Neighbours } from './neighbours.ts'

export interface Neighbourhood {
  readonly neighbours: Neighbours
  /** Called when the tunnel is up, with where its local API will be. Undefined: it has none to start. */
  start(
    daemon: Daemon,
    socket: string,
    ending: AsyncDisposableStack,
  ): Promise<OrganizationControls | undefined>
}

/** Milliseconds between looks at the addresses by which the tunnel runs. */
const LOOK_MS = 5000

/** Has the daemon follow what neighbours leave to it. */
export function followNeighbours(
  { neighbours }: Neighbourhood,
  daemon: Daemon,
  ending: AsyncDisposableStack,
): void {
  neighbours.follow(() => daemon.apply())
  const look = (): void => {
    if (neighbours.current !== undefined) neighbours.useUnderlay(underlayOf(daemon))
  }
  const looking = daemon.options.clock.every(LOOK_MS, look)
  ending.defer(() => looking.cancel())
  // What came meanwhile.
  if (neighbours.current !== undefined) daemon.apply()
}

/** Only what checks have proved: whoever could name an address here could keep others' routes away from it. */
function underlayOf({ plan, parts }: Daemon) {
  const found = [...plan.peers.keys()].flatMap((device) => {
    const status = parts.paths?.status(device)
    return status?.kind === 'direct' ? [status.endpoint.address] : []
  })
  return [...new Set(found)].toSorted()
}
