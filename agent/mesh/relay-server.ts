/** Relay server: takes datagrams for this device, and passes on those between others if it relays. */

import type { DeviceId } from '../../protocol/keys.ts'
import { encodeRelayFrame, RELAY_PROTOCOL } from '../../protocol/relay.ts'
import { RelaySwitchboard } from '../../protocol/relay-switchboard.ts'
import { deviceOfLink, type Link, type Links, nameOfLink } from './links.ts'
import type { MeshNode } from './node.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import { type RelayStream, startRelayStream } from './relay-stream.ts'
import { serve } from './streams.ts'

/** Streams of one connection at once: the one in use and its successor. */
const STREAMS = 2
const NOTHING = new Uint8Array(0)

export interface RelayServerOptions {
  readonly self: DeviceId
  /** Pass on what is not for this device? */
  readonly forOthers: boolean
  readonly links: Links
  readonly addresses: RelayAddresses
  onDatagram(from: DeviceId, datagram: Uint8Array): void
  onFault(link: Link, error: unknown): void
}

export interface RelayServer {
  /** Sends to a device by the stream that it keeps here over a direct connection; false without one. */
  sendTo(to: DeviceId, datagram: Uint8Array): boolean
  /** The device's own name, where `sendTo` has a way. */
  names(device: DeviceId): readonly string[]
}

export async function startRelayServer(
  mesh: MeshNode,
  options: RelayServerOptions,
): Promise<RelayServer> {
  const own = options.addresses.of(options.self)
  const switchboard = new RelaySwitchboard()
  const streams = new Map<DeviceId, { readonly port: RelayStream; readonly name: string }>()
  await serve(
    mesh,
    options.links,
    RELAY_PROTOCOL,
    { maxInboundStreams: STREAMS },
    (stream, link) => {
      const device = deviceOfLink(link)
      // Over the overlay the datagrams would run inside themselves.
      if (device === undefined || link.kind === 'overlay') throw new Error('no relaying here')
      const address = options.addresses.of(device)
      const port = startRelayStream(stream, {
        onFrame: (frame) => {
          if (frame.datagram.length === 0) return
          if (frame.peer === own) options.onDatagram(device, frame.datagram)
          else if (options.forOthers) switchboard.forward(address, frame)
          else port.send(encodeRelayFrame({ peer: frame.peer, datagram: NOTHING }))
        },
        onEnd: (error) => {
          switchboard.detach(address, port)
          if (streams.get(device)?.port === port) streams.delete(device)
          if (error !== undefined) options.onFault(link, error)
        },
      })
      switchboard.attach(address, port)
      if (link.kind === 'direct') streams.set(device, { port, name: nameOfLink(link) })
    },
    options.onFault,
  )
  return {
    sendTo: (to, datagram) =>
      streams.get(to)?.port.send(encodeRelayFrame({ peer: own, datagram })) ?? false,
    names: (device) => {
      const { port, name } = streams.get(device) ?? {}
      return port?.isOpen() === true && name !== undefined ? [name] : []
    },
  }
}
