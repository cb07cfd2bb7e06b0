/** Relay server: takes datagrams for this device, and passes on those between others if it relays. */
import type { Stream } from '@libp2p/interface'
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId, DeviceKeyPair, OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { RELAY_PROTOCOL, type RelayAddress } from '../../protocol/relay.ts'
import { RelayHub } from '../../protocol/relay-hub.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import type { BoardPort } from '../../protocol/relay-switchboard.ts'
import type { UdpRoute } from '../../protocol/relay-udp-session.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { type Link, type Links, relayOfLink } from './links.ts'
import type { MeshNode } from './node.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import type { RelayClient } from './relay-client.ts'
import type { RelayEnd, RelayParty } from './relay-ends.ts'
import { pipeOf, readRelayStream } from './relay-stream.ts'
import { serve } from './streams.ts'

/** Streams of one connection at once: the one in use and its successor. */
const STREAMS = 2

export interface RelayServerOptions {
  readonly self: DeviceId
  readonly deviceKey: DeviceKeyPair
  readonly organization: OrganizationId
  state(): OrganizationState
  /** Pass on what is not for this device, now? */
  forOthers(): boolean
  readonly rate: RelayRate
  readonly links: Links
  readonly addresses: RelayAddresses
  /** What comes for this device goes to it, and it sends by these streams too. */
  readonly client: RelayClient
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
  readonly random: (n: number) => Uint8Array
  readonly log: Log
}

interface Member {
  readonly organization: string
  readonly address: RelayAddress
  readonly device: DeviceId
  readonly party: RelayParty
  readonly isCircuit: boolean
  end?: RelayEnd
}

export interface RelayServer {
  /** UDP is served at this port from now on. */
  offerUdp(port: number): void
  receiveUdp(bytes: Uint8Array, route: UdpRoute): void
  /** Ends what no stream does. */
  stop(): void
}

export async function startRelayServer(
  mesh: MeshNode,
  options: RelayServerOptions,
): Promise<RelayServer> {
  const { addresses, client, links, log, onFault } = options
  const own = addresses.of(options.self)
  const hub = new RelayHub<Member>({
    ...options,
    own: {
      address: own,
      deliver: ({ end, address }, datagram) => {
        if (end !== undefined) client.received(end, { peer: address, datagram })
      },
    },
    attaching: {
      ...{ key: options.deviceKey, address: own },
      memberOf: (organization, device) => memberAt(options, organization, device),
    },
    onAttached: (port) => {
      const end = endOf(port, own)
      port.member.end = end
      client.add(end)
    },
    onDetached: ({ member: { end } }) => {
      if (end !== undefined) client.remove(end)
    },
    onExcess: ({ device, party: { name } }, { reason, datagrams, bytes }) =>
      log('warn', 'relay.datagrams-dropped', {
        ...{ device, name, reason, datagrams, bytes },
      }),
  })
  const limits = { maxInboundStreams: STREAMS }
  await serve(
    mesh,
    links,
    RELAY_PROTOCOL,
    limits,
    (stream, link) => {
      const end = join(hub, stream, link, { ...options, own, left: (each) => client.remove(each) })
      if (link.kind === 'direct') client.add(end)
    },
    onFault,
  )
  return {
    offerUdp: (port) => hub.offerUdp(port),
    receiveUdp: (bytes, route) => hub.receiveUdp(bytes, route),
    stop: () => hub.close(),
  }
}

/** Whoever attaches, as it is now. */
function memberAt(
  { organization, addresses, state, clock }: RelayServerOptions,
  asked: OrganizationId,
  device: DeviceId,
): Member | undefined {
  const member = asked === organization ? memberOf(state(), device, clock.now()) : undefined
  if (member === undefined) return undefined
  const party = { id: device, device, name: member.certificate.name }
  return { organization, address: addresses.of(device), device, party, isCircuit: false }
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
  const party = relayOfLink(link)
  const { device } = party
  // Over the overlay the datagrams would run inside themselves.
  if (device === undefined || link.kind === 'overlay') throw new Error('no relaying here')
  if (stream.status !== 'open') throw new Error('the stream ended before it began')
  const isCircuit = link.kind === 'circuit'
  const address = addresses.of(device)
  const member: Member = { organization, address, device, party, isCircuit }
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
function endOf(port: BoardPort<Member>, own: RelayAddress): RelayEnd {
  return {
    relay: port.member.party,
    isCircuit: port.member.isCircuit,
    passesOn: () => false,
    isOpen: () => port.isOpen(),
    isDoubted: () => false,
    by: () => port.by(),
    send: ({ datagram }) => port.send({ peer: own, datagram }),
  }
}
