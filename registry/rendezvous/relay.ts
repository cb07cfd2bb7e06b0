/** The relay: WireGuard datagrams between devices of one organization, which we can't read. */
import type { Connection, Stream } from '@libp2p/interface'
import { concat } from '../../crypto/bytes.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { parseRelayFrames, RELAY_PROTOCOL, relayAddressOf } from '../../protocol/relay.ts'
import { type RelayPort, RelaySwitchboard } from '../../protocol/relay-switchboard.ts'
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
  const port = portOf(stream)
  let rest: Uint8Array = new Uint8Array(0)
  switchboard.attach(address, port)
  stream.addEventListener('close', () => switchboard.detach(address, port))
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('relay stream ended')))
  stream.addEventListener('message', ({ data }) => {
    const arrived = data instanceof Uint8Array ? data : data.subarray()
    try {
      const parsed = parseRelayFrames(rest.length === 0 ? arrived : concat(rest, arrived))
      rest = parsed.rest
      for (const frame of parsed.frames) switchboard.forward(address, frame)
    } catch (error) {
      const { device, name } = link
      const fields = { device, name, reason: asError(error).message }
      strangers.tell(link.peer, 'rendezvous.device-misbehaves', fields)
      stream.abort(asError(error))
    }
  })
}

/** What does not fit is dropped, as on any wire. The queue is yamux's window, 256 kB, and the socket's
 *  buffer: while they are full nothing is given to the stream, for what it can't send it would keep. */
function portOf(stream: Stream): RelayPort {
  let isFull = false
  stream.addEventListener('drain', () => {
    isFull = false
  })
  return {
    send: (frame) => {
      if (isFull || stream.status !== 'open' || stream.writeStatus !== 'writable') return
      isFull = !stream.send(frame)
    },
  }
}
