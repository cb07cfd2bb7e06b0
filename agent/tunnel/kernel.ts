/** The kernel backend: WireGuard as a Linux module, told what to do by netlink. */

import { GenericNetlink } from '../host/generic-netlink.ts'
import { claimInterface, interfaceTool } from '../host/interface.ts'
import { NetlinkError } from '../host/netlink.ts'
import { CommandError, type Commands } from '../host/run.ts'
import type { BackendOptions } from './backend.ts'
import type { WireGuardDevice } from './device.ts'
import { TunnelError } from './errors.ts'
import { portTakenError } from './listen-port.ts'
import {
  COMMAND,
  deviceAttributes,
  FAMILY,
  nameAttribute,
  parseDevice,
  peersAttributes,
  replacement,
  stepAttributes,
  update,
} from './wireguard-netlink.ts'

/** Creates the interface, of a free name, and brings it up. Throws TunnelError: the module is missing, or it is
 *  not permitted. */
export async function startKernel(options: BackendOptions): Promise<WireGuardDevice> {
  const { commands, interfaceName } = options
  await createInterface(commands, interfaceName)
  try {
    await claimInterface(commands, interfaceName)
    const open = await netlinkOpener()
    return deviceOver(options, open())
  } catch (error) {
    await (await interfaceTool(commands)).delete(interfaceName)
    throw error
  }
}

/** Throws TunnelError where koffi has no build for this system. */
async function netlinkOpener(): Promise<() => GenericNetlink> {
  try {
    const { openNetlink } = await import('../host/netlink-socket.ts')
    return () => new GenericNetlink(openNetlink('generic'), FAMILY)
  } catch (cause) {
    const message = 'koffi, which speaks to the kernel, has no build for this system'
    throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', message, { cause })
  }
}

function deviceOver(
  { commands, interfaceName }: BackendOptions,
  netlink: GenericNetlink,
): WireGuardDevice {
  const ended = Promise.withResolvers<undefined>()
  const name = nameAttribute(interfaceName)
  const set = (attributes: readonly Uint8Array[]): void =>
    naming(interfaceName, () => netlink.tell(COMMAND.set, [name, ...attributes]))
  const setPeers = (peers: readonly Uint8Array[]): void => {
    for (const message of peersAttributes(peers)) set([message])
  }
  return {
    kind: 'kernel',
    interfaceName,
    ended: ended.promise,
    read: async () => naming(interfaceName, () => parseDevice(netlink.dump(COMMAND.get, [name]))),
    async change(change) {
      const device = deviceAttributes(change)
      try {
        if (device.length > 0) set(device)
      } catch (error) {
        if (!isPortTaken(error)) throw error
        throw await portTakenError(commands, change.listenPort, error)
      }
      setPeers(change.peers.flatMap(stepAttributes))
    },
    setEndpoint: async (publicKey, endpoint) => setPeers(update(publicKey, { endpoint })),
    setKeepalive: async (publicKey, persistentKeepalive) =>
      setPeers(update(publicKey, { persistentKeepalive })),
    replacePeer: async (peer) => setPeers(replacement(peer)),
    async [Symbol.asyncDispose]() {
      netlink[Symbol.dispose]()
      const tool = await interfaceTool(commands)
      const links = await tool.links()
      if (links.some(({ name }) => name === interfaceName)) await tool.delete(interfaceName)
      ended.resolve(undefined)
    },
  }
}

function isPortTaken(error: unknown): boolean {
  return (
    error instanceof TunnelError &&
    error.cause instanceof NetlinkError &&
    error.cause.code === 'EADDRINUSE'
  )
}

function naming<T>(interfaceName: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    if (!(cause instanceof NetlinkError)) throw cause
    if (cause.code === 'ENODEV') {
      const message = `interface ${interfaceName} is gone (somebody removed it)`
      throw new TunnelError('ERR_TUNNEL_GONE', message, { cause })
    }
    const message = `WireGuard of ${interfaceName} refused a change with ${cause.code}`
    throw new TunnelError('ERR_TUNNEL_REFUSED', message, { cause })
  }
}

async function createInterface(commands: Commands, name: string): Promise<void> {
  try {
    await (await interfaceTool(commands)).add(name, 'wireguard')
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause
    if (cause.code === 'ERR_COMMAND_PRIVILEGES') {
      const message = `cannot create ${name}: not permitted (run as root, or with CAP_NET_ADMIN)`
      throw new TunnelError('ERR_TUNNEL_PRIVILEGES', message, { cause })
    }
    if (/Unknown device type|not supported|ENOTSUP/i.test(cause.stderr)) {
      const message = 'the kernel has no WireGuard (load the module wireguard)'
      throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', message, { cause })
    }
    throw cause
  }
}
