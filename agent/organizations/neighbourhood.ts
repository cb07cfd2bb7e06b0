/** Neighbourhood: this process among those of one agent: that of its first organization, which starts the others, or one
 *  of those. */
import type { OrganizationControls } from '../control/organization-report.ts'
import type { Daemon } from '../daemon.ts'
import type { Neighbours } from './neighbours.ts'
import { UnderlayWatch } from './underlay-watch.ts'

export interface Neighbourhood {
  readonly neighbours: Neighbours
  /** Called when the tunnel is up, with where its local API will be. Undefined: it has none to start. */
  start(
    daemon: Daemon,
    socket: string,
    ending: AsyncDisposableStack,
  ): Promise<OrganizationControls | undefined>
}

/** Has the daemon follow what neighbours leave to it. */
export function followNeighbours(
  { neighbours }: Neighbourhood,
  daemon: Daemon,
  ending: AsyncDisposableStack,
): void {
  const underlay = ending.use(new UnderlayWatch(neighbours, daemon))
  neighbours.follow(() => {
    underlay.look()
    daemon.apply()
  })
  // What came meanwhile.
  if (neighbours.isTelling) daemon.apply()
}
