/** The relay: WireGuard datagrams between devices of one organization, which we can't read. */
import { setImmediate } from 'node:timers'
import type { Connection, Stream } from '@libp2p/interface'
import type { RandomBytes } from '../../crypto/random.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { RELAY_PROTOCOL, type RelayAddress, relayAddressOf } from '../../protocol/relay.ts'
import { RelayFullError, RelayHub } from '../../protocol/relay-hub.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import { relayPipe } from '../../protocol/relay-pipe.ts'
import { asError } from './admission.ts'
import type { Link, Links } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { Strangers } from './strangers.ts'

/** Streams of one connection at once: the newest replaces the older, which may not have ended yet. */
const INBOUND_STREAMS = 4

export interface RelayOptions {
  readonly links: Links
  readonly strangers: Strangers
  readonly rate: RelayRate
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

interface RelayMember extends Link {
  readonly address: RelayAddress
}

export type RegistryRelay = RelayHub<RelayMember>

export async function startRelay(
  { node }: RendezvousNode,
  options: RelayOptions,
): Promise<RegistryRelay> {
  const { rate, clock, randomBytes, log } = options
  const hub: RegistryRelay = new RelayHub({
    rate,
    forOthers: () => true,
    clock,
    random: randomBytes,
    onExcess: ({ organization, device, name }, { reason, datagrams, bytes }) =>
      log('warn', 'relay.datagrams-dropped', {
        ...{ organization, device, name, reason, datagrams, bytes },
      }),
  })
  const join = (stream: Stream, connection: Connection): void => {
    const link = options.links.of(connection)
    // The end of a stream that ended before it began is told to nobody.
    if (stream.status !== 'open') return
    if (link === undefined) stream.abort(new Error('not admitted'))
    else carry(stream, link, hub, options)
  }
  await node.handle(RELAY_PROTOCOL, join, {
    runOnLimitedConnection: true,
    maxInboundStreams: INBOUND_STREAMS,
  })
  return hub
}

const soon = (task: () => void): void => void setImmediate(task)

/** Joins the device to the hub for as long as the stream lasts. */
function carry(stream: Stream, link: Link, hub: RegistryRelay, { log, strangers }: RelayOptions) {
  const { device, name, peer } = link
  let port: ReturnType<RegistryRelay['join']>
  try {
    port = hub.join({ ...link, address: relayAddressOf(device) }, relayPipe(stream, soon))
  } catch (error) {
    if (!(error instanceof RelayFullError)) throw error
    log('debug', 'relay.stream-refused', { device, name, reason: error.message })
    return stream.abort(error)
  }
  stream.addEventListener('drain', () => port.drained())
  stream.addEventListener('close', () => hub.leave(port))
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('relay stream ended')))
  stream.addEventListener('message', ({ data }) => {
    try {
      port.receive(data instanceof Uint8Array ? data : data.subarray())
    } catch (error) {
      const fields = { device, name, reason: asError(error).message }
      strangers.tell(peer, 'rendezvous.device-misbehaves', fields)
      stream.abort(asError(error))
    }
  })
}
