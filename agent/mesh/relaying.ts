/** Relaying by UDP, of a member: where its port is. */
import type { Log } from '../../protocol/log.ts'
import { hostOf, parseMultiaddr, tcpPortOf } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'
import type { RelayServer } from './relay-server.ts'
import { openRelayUdpServer, type RelayUdpServer } from './relay-udp-server.ts'

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
