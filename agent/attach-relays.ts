/** When relays are attached to: at once where no direct path can be, else when none was found in a moment, for to attach
 *  takes the processor that checks need. */
import { addressFamily } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { EndpointUpdate } from '../protocol/endpoint-update.ts'
import type { NatReport } from '../protocol/nat-report.ts'
import type { Daemon } from './daemon.ts'
import { directPaths } from './first-paths.ts'
import type { Relays } from './mesh/relays.ts'
import type { Paths } from './path/paths.ts'

/** Milliseconds that the mesh gets to bring a relay's stream, where all paths are direct. */
const MESH_MS = 5000

/** Resolves to relays, attached or not. */
export async function attachRelays(
  daemon: Daemon,
  paths: Paths,
  clock: Clock,
  stack: AsyncDisposableStack,
): Promise<Relays> {
  const own = daemon.options.knowledge.state().endpoints.get(daemon.device)?.body
  const updates = [...daemon.plan.peers.values()].map(({ endpoints }) => endpoints?.body)
  const isHopeless = updates.some((theirs) => own && theirs && !mayBeDirect(own, theirs))
  const areDirect = !isHopeless && (await directPaths(daemon.plan.peers, paths, clock))
  const { startRelays } = await import('./relay-side.ts')
  const relays = stack.use(startRelays(daemon))
  if (areDirect) clock.after(MESH_MS, () => relays.attach())
  else relays.attach()
  return relays
}

type Said = Pick<EndpointUpdate, 'candidates' | 'nat'>

/** Hardly by IPv4 where a NAT makes a new mapping for each destination and the other does so too, or lets in only what
 *  was asked for all that is known (RFC 4787 §4.1, §5), as both said last. */
export function mayBeDirect(own: Said, theirs: Said): boolean {
  if ([own, theirs].every(({ candidates }) => candidates.some(isIpv6))) return true
  const [a, b] = [own, theirs].map(({ nat }) => nat?.find(({ family }) => family === 4))
  if (a === undefined || b === undefined) return true
  return !((isHard(a) && isClosed(b)) || (isHard(b) && isClosed(a)))
}

function isIpv6({ address }: EndpointUpdate['candidates'][number]): boolean {
  return addressFamily(address) === 6
}

function isHard({ mapping }: NatReport): boolean {
  return mapping === 'address-dependent' || mapping === 'address-and-port-dependent'
}

function isClosed(report: NatReport): boolean {
  const { mapping, filtering } = report
  if (mapping !== 'endpoint-independent') return isHard(report)
  return filtering === 'unknown' || filtering === 'address-and-port-dependent'
}
