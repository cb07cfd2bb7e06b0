/** The relay: WireGuard datagrams between devices of one organization, which we can't read. */
import { setImmediate } from 'node:timers'
import type { Connection, Stream } from '@libp2p/interface'
import type { OrganizationId } from '../../protocol/keys.ts'
import { RELAY_PROTOCOL, relayAddressOf } from '../../protocol/relay.ts'
import { RelayQueue, relayReader } from '../../protocol/relay-queue.ts'
import { RelaySwitchboard } from '../../protocol/relay-switchboard.ts'
import { asError } from './admission.ts'
import type { Link, Links } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { Strangers } from './strangers.ts'

/** Streams of a device at once: the newest replaces the older, which may not have ended yet. */
const INBOUND_STREAMS = 4

export interface RelayOptions {
  readonly links: Links
  readonly strangers: Strangers
}

export async function startRelay({ node }: RendezvousNode, options: RelayOptions): Promise<void> {
  const switchboards = new Map<OrganizationId, RelaySwitchboard>()
  const switchboardOf = (organization: OrganizationId): RelaySwitchboard => {
    const known = switchboards.get(organization) ?? new RelaySwitchboard()
    switchboards.set(organization, known)
    return known
  }
  const join = (stream: Stream, connection: Connection): void => {
    const link = options.links.of(connection)
    if (link === undefined) stream.abort(new Error('not admitted'))
    else carry(stream, link, switchboardOf(link.organization), options)
  }
  await node.handle(RELAY_PROTOCOL, join, {
    runOnLimitedConnection: true,
    maxInboundStreams: INBOUND_STREAMS,
  })
}

/** Attaches the stream to the switchboard for as long as it lasts. */
function carry(
  stream: Stream,
  link: Link,
  switchboard: RelaySwitchboard,
  { strangers }: RelayOptions,
): void {
  const address = relayAddressOf(link.device)
  const isOpen = (): boolean => stream.status === 'open' && stream.writeStatus === 'writable'
  const soon = (task: () => void): void => void setImmediate(task)
  const port = new RelayQueue({ isOpen, send: (bytes) => stream.send(bytes), soon })
  const read = relayReader((frame) => switchboard.forward(address, frame))
  switchboard.attach(address, port)
  stream.addEventListener('drain', () => port.drained())
  stream.addEventListener('close', () => switchboard.detach(address, port))
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('relay stream ended')))
  stream.addEventListener('message', ({ data }) => {
    try {
      read(data instanceof Uint8Array ? data : data.subarray())
    } catch (error) {
      const { device, name } = link
      const fields = { device, name, reason: asError(error).message }
      strangers.tell(link.peer, 'rendezvous.device-misbehaves', fields)
      stream.abort(asError(error))
    }
  })
}
