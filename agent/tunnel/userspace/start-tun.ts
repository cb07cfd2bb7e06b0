/** Start over TUN: a tunnel inside the process whose packets are those of an interface of the host. */
import { claimInterface } from '../../host/interface.ts'
import type { BackendOptions, Tunnel } from '../backend.ts'
import type { WireGuardDevice } from '../device.ts'
import { TunnelError } from '../errors.ts'
import { freeName } from '../interface-name.ts'
import { portTakenError } from '../listen-port.ts'
import { type HostSide, hostSide, tunnelOver } from '../tunnel.ts'
import { TunThread, threadDevice, threadSide } from './thread.ts'

/** A tunnel with no key, port, peer or address yet: `configure` it. What agents that died left is removed first.
 *  Throws TunnelError or CommandError. */
export async function startTun(
  options: BackendOptions,
): Promise<{ readonly tunnel: Tunnel; readonly thread: TunThread }> {
  const { commands, interfaceName, log } = options
  const thread = new TunThread(interfaceName, log)
  try {
    await freeName(options)
    await thread.calls.open()
    await claimInterface(commands, interfaceName)
  } catch (error) {
    await thread.end()
    throw error
  }
  const device = namingHolder(threadDevice(thread, interfaceName), options)
  return { tunnel: tunnelOver(device, bothSides(threadSide(thread), hostSide(options))), thread }
}

/** Says who has the port that is taken. */
function namingHolder(device: WireGuardDevice, { commands }: BackendOptions): WireGuardDevice {
  return {
    ...device,
    change: async (change) => {
      try {
        await device.change(change)
      } catch (error) {
        if (!(error instanceof TunnelError && error.code === 'ERR_TUNNEL_PORT_TAKEN')) throw error
        throw await portTakenError(commands, change.listenPort, error)
      }
    },
  }
}

/** WireGuard takes what it must know of the packets, the host the rest. */
function bothSides(wireGuard: HostSide, host: HostSide): HostSide {
  return {
    invalidate: () => host.invalidate(),
    configure: async (wanted) => {
      await wireGuard.configure(wanted)
      await host.configure(wanted)
    },
  }
}
