/** Start over TUN: a tunnel inside the process whose packets are those of an interface of the host. */
import type { RandomBytes } from '../../../crypto/random.ts'
import { claimInterface } from '../../host/interface.ts'
import type { BackendOptions, Tunnel } from '../backend.ts'
import type { WireGuardDevice } from '../device.ts'
import { TunnelError } from '../errors.ts'
import { freeName } from '../interface-name.ts'
import { portTakenError } from '../listen-port.ts'
import { type HostSide, hostSide, tunnelOver } from '../tunnel.ts'
import { userspaceDevice, userspaceHost } from './device.ts'
import { Engine } from './engine.ts'
import { openTun, type TunCalls, type TunDevice } from './tun-device.ts'
import { type OpenUnderlay, openUnderlay } from './underlay.ts'

export interface TunTunnelOptions extends BackendOptions {
  readonly random: RandomBytes
  /** The system's sockets where it is missing. */
  readonly openUnderlay?: OpenUnderlay
}

/** A tunnel with no key, port, peer or address yet: `configure` it. What agents that died left is removed first.
 *  Throws TunnelError or CommandError. */
export async function startTun(
  options: TunTunnelOptions,
): Promise<{ readonly tunnel: Tunnel; readonly engine: Engine }> {
  const { commands, interfaceName } = options
  await freeName(options)
  const interfaceOfHost = openTun(interfaceName, await systemCalls())
  try {
    await claimInterface(commands, interfaceName)
  } catch (error) {
    await interfaceOfHost[Symbol.asyncDispose]()
    throw error
  }
  const engine = new Engine({ openUnderlay, ...options, device: interfaceOfHost })
  const device = tunDevice(engine, interfaceOfHost, options)
  return { tunnel: tunnelOver(device, bothSides(userspaceHost(engine), hostSide(options))), engine }
}

async function systemCalls(): Promise<TunCalls> {
  try {
    return (await import('./tun-calls.ts')).tunCalls()
  } catch (cause) {
    const message = 'koffi, which opens /dev/net/tun, has no build for this system'
    const hint = 'choose --backend kernel or wireguard-go'
    throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', `${message} (${hint})`, { cause })
  }
}

function tunDevice(
  engine: Engine,
  interfaceOfHost: TunDevice,
  { commands, interfaceName }: BackendOptions,
): WireGuardDevice {
  const device = userspaceDevice(engine, interfaceName)
  return {
    ...device,
    kind: 'tun',
    ended: interfaceOfHost.ended,
    change: async (change) => {
      try {
        await device.change(change)
      } catch (error) {
        if (!(error instanceof TunnelError && error.code === 'ERR_TUNNEL_PORT_TAKEN')) throw error
        throw await portTakenError(commands, change.listenPort, error)
      }
    },
    async [Symbol.asyncDispose]() {
      await device[Symbol.asyncDispose]()
      await interfaceOfHost[Symbol.asyncDispose]()
    },
  }
}

/** The engine takes what it must know of the packets, the host the rest. */
function bothSides(engine: HostSide, host: HostSide): HostSide {
  return {
    invalidate: () => host.invalidate(),
    configure: async (wanted) => {
      await engine.configure(wanted)
      await host.configure(wanted)
    },
  }
}
