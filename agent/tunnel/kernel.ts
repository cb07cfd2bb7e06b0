/** The kernel backend: WireGuard as a Linux module, told what to do by `ip` and `wg`. */
import { privateBytesOf } from '../../crypto/agreement.ts'
import { toBase64 } from '../../crypto/bytes.ts'
import { formatEndpoint } from '../../protocol/address.ts'
import { claimInterface, deleteInterface, readLinks } from '../host/interface.ts'
import { CommandError, type Commands } from '../host/run.ts'
import type { BackendOptions } from './backend.ts'
import type { WireGuardDevice } from './device.ts'
import type { WireGuardChange } from './diff.ts'
import { TunnelError } from './errors.ts'
import { portTakenError } from './listen-port.ts'
import { parseDump, peerArguments, stepArguments } from './wg-text.ts'

/** Steps in one invocation of `wg`: with a hundred allowed IPs each still far below the 2 MB that the
 *  arguments of a process may have. */
const STEPS_A_CALL = 250

/** Creates the interface, of a free name, and brings it up. Throws TunnelError: the module or `wg` is missing,
 *  or it is not permitted. */
export async function startKernel(options: BackendOptions): Promise<WireGuardDevice> {
  const { commands, interfaceName } = options
  await requireWg(commands)
  await createInterface(commands, interfaceName)
  try {
    await claimInterface(commands, interfaceName)
  } catch (error) {
    await deleteInterface(commands, interfaceName)
    throw error
  }
  return deviceOver(options)
}

function deviceOver({ commands, interfaceName }: BackendOptions): WireGuardDevice {
  const ended = Promise.withResolvers<undefined>()
  const set = async (args: readonly string[]): Promise<void> => {
    await commands.run('wg', ['set', interfaceName, ...args])
  }
  return {
    kind: 'kernel',
    interfaceName,
    ended: ended.promise,
    read: async () => parseDump(await commands.run('wg', ['show', interfaceName, 'dump'])),
    async change(change) {
      await setDevice(commands, interfaceName, change)
      for (let start = 0; start < change.peers.length; start += STEPS_A_CALL) {
        await set(change.peers.slice(start, start + STEPS_A_CALL).flatMap(stepArguments))
      }
    },
    setEndpoint: (publicKey, endpoint) =>
      set(['peer', toBase64(publicKey), 'endpoint', formatEndpoint(endpoint)]),
    setKeepalive: (publicKey, interval) =>
      set(['peer', toBase64(publicKey), 'persistent-keepalive', `${interval}`]),
    replacePeer: (peer) =>
      set(['peer', toBase64(peer.publicKey), 'remove', ...peerArguments(peer)]),
    async [Symbol.asyncDispose]() {
      const links = await readLinks(commands)
      if (links.some(({ name }) => name === interfaceName)) {
        await deleteInterface(commands, interfaceName)
      }
      ended.resolve(undefined)
    },
  }
}

async function requireWg(commands: Commands): Promise<void> {
  try {
    await commands.require('wg')
  } catch (cause) {
    if (!(cause instanceof CommandError) || cause.code !== 'ERR_COMMAND_MISSING') throw cause
    throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', cause.message, { cause })
  }
}

async function createInterface(commands: Commands, name: string): Promise<void> {
  try {
    await commands.run('ip', ['link', 'add', 'dev', name, 'type', 'wireguard'])
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause
    if (cause.code === 'ERR_COMMAND_PRIVILEGES') {
      const message = `cannot create ${name}: not permitted (run as root, or with CAP_NET_ADMIN)`
      throw new TunnelError('ERR_TUNNEL_PRIVILEGES', message, { cause })
    }
    if (/Unknown device type|not supported/i.test(cause.stderr)) {
      const message = 'the kernel has no WireGuard (load the module wireguard)'
      throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', message, { cause })
    }
    throw cause
  }
}

async function setDevice(
  commands: Commands,
  interfaceName: string,
  { privateKey, listenPort }: WireGuardChange,
): Promise<void> {
  if (privateKey === undefined && listenPort === undefined) return
  const port = listenPort === undefined ? [] : ['listen-port', `${listenPort}`]
  // The private key by standard input: arguments are for everybody to see. `wg` opens it by its path, which
  // works for the pipe that a shell makes and not for the socket that Node makes.
  const key = privateKey === undefined ? [] : ['private-key', '/dev/stdin']
  const input = privateKey === undefined ? '' : toBase64(privateBytesOf(privateKey))
  const args = ['-c', 'cat | "$@"', 'sh', 'wg', 'set', interfaceName, ...port, ...key]
  try {
    await commands.run('sh', args, { input })
  } catch (error) {
    if (!(error instanceof CommandError) || !/Address already in use/.test(error.stderr))
      throw error
    throw await portTakenError(commands, listenPort, error)
  }
}
