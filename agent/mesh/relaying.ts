/** Relaying: who passes on datagrams for others, by the role in membership certificates (SPEC §12.1), and the
 *  parts that this device relays with. */
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { Link } from './links.ts'
import { hostOf, parseMultiaddr, tcpPortOf } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'
import type { RelayServer } from './relay-server.ts'
import { openRelayUdpServer, type RelayUdpServer } from './relay-udp-server.ts'

/** Milliseconds for which an answer about a role is good: it is asked for each datagram. */
const ROLE_MS = 1000

export interface RelayingOptions {
  readonly self: DeviceId
  readonly relayServer: boolean
  readonly rate: RelayRate
  state(): OrganizationState
  readonly clock: Clock
}

export interface Relaying {
  /** Does this device pass on what is for others, now? */
  forOthers(): boolean
  /** Does the other end, by what its certificate says? */
  hasRole(link: Link): boolean
}

export function newRelaying(options: RelayingOptions): Relaying {
  const { self, relayServer, rate, clock } = options
  const known = new Map<DeviceId, { readonly has: boolean; readonly at: number }>()
  const has = (device: DeviceId): boolean => {
    const now = clock.monotonicMs()
    const cached = known.get(device)
    if (cached !== undefined && now - cached.at < ROLE_MS) return cached.has
    const member = memberOf(options.state(), device, clock.now())
    const fresh = { has: member?.certificate.roles.includes('relay') === true, at: now }
    if (known.size > 4096) known.clear()
    known.set(device, fresh)
    return fresh.has
  }
  return {
    forOthers: () => relayServer && rate.total > 0 && has(self),
    hasRole: ({ who }) => who.kind === 'registry' || has(who.device),
  }
}

/** UDP beside the mesh's first TCP port, on the same addresses. Undefined where it relays nothing, or
 *  listens on none. */
export async function serveRelayUdp(
  { node }: MeshNode,
  server: RelayServer,
  {
    relayServer,
    listen,
    log,
  }: { readonly relayServer: boolean; readonly listen: readonly string[]; readonly log: Log },
): Promise<RelayUdpServer | undefined> {
  if (!relayServer) return undefined
  const addresses = listen.flatMap((text) => parseMultiaddr(text) ?? [])
  const [first] = addresses.flatMap((address) => tcpPortOf(address) ?? [])
  // Port 0 let the system choose.
  const port = first === 0 ? node.getMultiaddrs().map(tcpPortOf).find(Boolean) : first
  if (port === undefined) return undefined
  const hosts = addresses
    .filter((address) => tcpPortOf(address) === first)
    .flatMap((address) => hostOf(address)?.host ?? [])
  const onDatagram = server.receiveUdp.bind(server)
  const udp = await openRelayUdpServer({ hosts, port, onDatagram, log })
  if (udp.isOpen()) server.offerUdp(port)
  return udp
}
