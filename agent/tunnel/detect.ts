/** Detect: the best tunnel backend this host has, started. */
import { unreachable } from '../../protocol/errors.ts'
import { isInterfaceName } from '../host/interface.ts'
import { hasNetAdmin } from '../host/system.ts'
import type { BackendKind, BackendOptions, Tunnel } from './backend.ts'
import type { WireGuardDevice } from './device.ts'
import { TunnelError } from './errors.ts'
import { freeName } from './interface-name.ts'
import { startKernel } from './kernel.ts'
import { hostSide, tunnelOver } from './tunnel.ts'
import { startWireguardGo } from './wireguard-go.ts'

export interface TunnelOptions extends BackendOptions {
  /** `auto`: the kernel's WireGuard if it has one, else wireguard-go. The others run inside the process, and are
   *  started by userspace/start.ts and start-tun.ts. */
  readonly backend: 'kernel' | 'wireguard-go' | 'auto'
}

/** A tunnel with no key, peer or address yet: `configure` it. What agents that died left is removed first.
 *  Throws TunnelError or CommandError with one line that says what to do. */
export async function startTunnel(options: TunnelOptions): Promise<Tunnel> {
  const { interfaceName } = options
  if (!isInterfaceName(interfaceName)) {
    throw new TunnelError(
      'ERR_TUNNEL_NAME_INVALID',
      `interface name ${JSON.stringify(interfaceName)} is not one (1 to 15 of letters, digits and _ = + . -)`,
    )
  }
  if (!hasNetAdmin()) {
    throw new TunnelError(
      'ERR_TUNNEL_PRIVILEGES',
      `cannot create ${interfaceName}: no CAP_NET_ADMIN (run as root, give that capability, or choose --backend userspace)`,
    )
  }
  return tunnelOver(await startBackend(options, await freeName(options)), hostSide(options))
}

/** What `auto` means to this process: without the right to make interfaces, WireGuard runs inside it. */
export function chosenBackend(
  wanted: BackendKind | 'auto',
  mayMakeInterfaces: boolean = hasNetAdmin(),
): BackendKind | 'auto' {
  return wanted === 'auto' && !mayMakeInterfaces ? 'userspace' : wanted
}

/** @param wasLeft an interface of the name was removed just now */
function startBackend(options: TunnelOptions, wasLeft: boolean): Promise<WireGuardDevice> {
  const { backend } = options
  switch (backend) {
    case 'kernel':
      return startKernel(options)
    case 'wireguard-go':
      return startWireguardGo(options, wasLeft)
    case 'auto':
      return startEither(options, wasLeft)
    default:
      return unreachable(backend)
  }
}

async function startEither(options: TunnelOptions, wasLeft: boolean): Promise<WireGuardDevice> {
  let kernelLacks: TunnelError
  try {
    return await startKernel(options)
  } catch (error) {
    if (!isMissing(error)) throw error
    kernelLacks = error
  }
  try {
    return await startWireguardGo(options, wasLeft)
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new TunnelError(
      'ERR_TUNNEL_BACKEND_MISSING',
      `no WireGuard on this host: ${kernelLacks.message}, and ${error.message}`,
      { cause: error },
    )
  }
}

function isMissing(error: unknown): error is TunnelError {
  return error instanceof TunnelError && error.code === 'ERR_TUNNEL_BACKEND_MISSING'
}
