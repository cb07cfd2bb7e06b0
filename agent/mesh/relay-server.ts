/** Relay server: takes datagrams for this device, and passes on those between others if it relays. */
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId, OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { RELAY_PROTOCOL, type RelayAddress } from '../../protocol/relay.ts'
import { RelayHub } from '../../protocol/relay-hub.ts'
import type { HubPort } from '../../protocol/relay-hub-port.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import type { UdpRoute } from '../../protocol/relay-udp-session.ts'
import { deviceOfLink, type Link, type Links, nameOfLink } from './links.ts'
import type { MeshNode } from './node.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import type { RelayClient } from './relay-client.ts'
import type { RelayEnd } from './relay-ends.ts'
import { pipeOf, readRelayStream } from './relay-stream.ts'
import { serve } from './streams.ts'

/** Streams of one connection at once: the one in use and its successor. */
const STREAMS = 2

export interface RelayServerOptions {
  readonly self: DeviceId
  readonly organization: OrganizationId
  /** Pass on what is not for this device, now? */
  forOthers(): boolean
  readonly rate: RelayRate
  readonly links: Links
  readonly addresses: RelayAddresses
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
  readonly random: (n: number) => Uint8Array
  readonly log: Log
}

interface Member {
  readonly organization: string
  readonly address: RelayAddress
  readonly device: DeviceId
  readonly link: Link
  end?: RelayEnd
}

export interface RelayServer {
  /** What comes for this device goes to the client, which sends by these streams too. */
  useClient(client: RelayClient): void
  /** UDP is served at this port from now on. */
  offerUdp(port: number): void
  receiveUdp(bytes: Uint8Array, route: UdpRoute): void
}

export async function startRelayServer(
  mesh: MeshNode,
  options: RelayServerOptions,
): Promise<RelayServer> {
  const { addresses, links, log, onFault } = options
  let client: RelayClient | undefined
  const own = addresses.of(options.self)
  const hub = new RelayHub<Member>({
    ...options,
    own: {
      address: own,
      deliver: ({ end, address }, datagram) => {
        if (end !== undefined) client?.received(end, { peer: address, datagram })
      },
    },
    onExcess: ({ device, link }, { reason, datagrams, bytes }) =>
      log('warn', 'relay.datagrams-dropped', {
        ...{ device, name: nameOfLink(link), reason, datagrams, bytes },
      }),
  })
  const limits = { maxInboundStreams: STREAMS }
  await serve(
    mesh,
    links,
    RELAY_PROTOCOL,
    limits,
    (stream, link) => {
      const end = join(hub, stream, link, { ...options, own, left: (each) => client?.remove(each) })
      if (link.kind === 'direct') client?.add(end)
    },
    onFault,
  )
  return {
    useClient: (used) => {
      client = used
    },
    offerUdp: (port) => hub.offerUdp(port),
    receiveUdp: (bytes, route) => hub.receiveUdp(bytes, route),
  }
}

/** Throws where there is nothing to relay, or no room. */
function join(
  hub: RelayHub<Member>,
  stream: Stream,
  link: Link,
  options: Pick<RelayServerOptions, 'organization' | 'addresses' | 'onFault'> & {
    readonly own: RelayAddress
    left(end: RelayEnd): void
  },
): RelayEnd {
  const { organization, addresses, own, left, onFault } = options
  const device = deviceOfLink(link)
  // Over the overlay the datagrams would run inside themselves.
  if (device === undefined || link.kind === 'overlay') throw new Error('no relaying here')
  if (stream.status !== 'open') throw new Error('the stream ended before it began')
  const member: Member = { organization, address: addresses.of(device), device, link }
  const port = hub.join(member, pipeOf(stream))
  const end = endOf(port, own)
  member.end = end
  readRelayStream(stream, {
    read: (arrived) => port.receive(arrived),
    drained: () => port.drained(),
    onEnd: (error) => {
      hub.leave(port)
      left(end)
      if (error !== undefined) onFault(link, error)
    },
  })
  return end
}

/** The stream as a way to the device that opened it; it pings, so it is the one that notices a silence. */
function endOf(port: HubPort<Member>, own: RelayAddress): RelayEnd {
  return {
    link: port.member.link,
    isOurs: false,
    isOpen: () => port.isOpen(),
    isDoubted: () => false,
    by: () => port.by(),
    send: ({ datagram }) => port.send({ peer: own, datagram }),
  }
}
