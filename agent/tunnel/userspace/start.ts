/** Start: a tunnel inside the process, and the sockets that paths share with it. */
import type { RandomBytes } from '../../../crypto/random.ts'
import type { BackendOptions, Tunnel } from '../backend.ts'
import { tunnelOver } from '../tunnel.ts'
import { userspaceDevice, userspaceHost } from './device.ts'
import { Engine } from './engine.ts'
import type { PacketDevice } from './packet-device.ts'
import { type OpenUnderlay, openUnderlay } from './underlay.ts'

export interface UserspaceOptions extends Pick<BackendOptions, 'interfaceName' | 'clock' | 'log'> {
  readonly device: PacketDevice
  readonly random: RandomBytes
  /** The system's sockets where it is missing. */
  readonly openUnderlay?: OpenUnderlay
}

/** A tunnel with no key, port, peer or address yet: `configure` it. Nothing of the host is touched but its UDP port. */
export function startUserspace(options: UserspaceOptions): {
  readonly tunnel: Tunnel
  readonly engine: Engine
} {
  const engine = new Engine({ openUnderlay, ...options })
  const device = userspaceDevice(engine, options.interfaceName)
  return { tunnel: tunnelOver(device, userspaceHost(engine)), engine }
}
