/** The relay: WireGuard datagrams between devices of one organization, which we can't read. */
import { setImmediate } from 'node:timers'
import type { Connection, Stream } from '@libp2p/interface'
import type { RandomBytes } from '../../crypto/random.ts'
import type { SigningKeyPair } from '../../crypto/signing.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId, OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { RELAY_PROTOCOL, type RelayAddress, relayAddressOf } from '../../protocol/relay.ts'
import { ANY_REGISTRY } from '../../protocol/relay-attach.ts'
import { RelayFullError, RelayHub } from '../../protocol/relay-hub.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import { relayPipe } from '../../protocol/relay-pipe.ts'
import { asError } from './admission.ts'
import type { Link, Links } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { Organizations } from './organizations.ts'
import type { Strangers } from './strangers.ts'

/** Streams of one connection at once: the newest replaces the older, which may not have ended yet. */
const INBOUND_STREAMS = 4

export interface RelayOptions {
  /** The rendezvous' own. */
  readonly key: SigningKeyPair<'rendezvous'>
  readonly organizations: Pick<Organizations, 'state'>
  readonly links: Links
  readonly strangers: Strangers
  readonly rate: RelayRate
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

interface RelayMember extends Pick<Link, 'organization' | 'device' | 'name'> {
  readonly address: RelayAddress
}

export type RegistryRelay = RelayHub<RelayMember>

export async function startRelay(
  { node }: RendezvousNode,
  options: RelayOptions,
): Promise<RegistryRelay> {
  const { key, rate, clock, randomBytes, log } = options
  const hub: RegistryRelay = new RelayHub({
    rate,
    forOthers: () => true,
    attaching: {
      ...{ key, address: ANY_REGISTRY },
      memberOf: (organization, device) => memberAt(options, organization, device),
    },
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

function memberAt(
  { organizations, clock }: RelayOptions,
  organization: OrganizationId,
  device: DeviceId,
): RelayMember | undefined {
  const state = organizations.state(organization)
  const member = state && memberOf(state, device, clock.now())
  if (member === undefined) return undefined
  const { name } = member.certificate
  return { organization, device, name, address: relayAddressOf(device) }
}

const soon = (task: () => void): void => void setImmediate(task)

/** Joins the device to the hub for as long as the stream lasts. */
function carry(stream: Stream, link: Link, hub: RegistryRelay, { log, strangers }: RelayOptions) {
  const { device, name, peer } = link
  let port: ReturnType<RegistryRelay['join']>
  try {
    const { organization } = link
    const member = { organization, device, name, address: relayAddressOf(device) }
    port = hub.join(member, relayPipe(stream, soon))
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
