/** The kernel backend: WireGuard as a Linux module, told what to do by `ip` and `wg`. */

import {
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
  privateBytesOf,
} from '../../crypto/agreement.ts'
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { formatEndpoint, parsePrefix } from '../../protocol/address.ts'
import { seconds } from '../../protocol/time.ts'
import {
  claimInterface,
  deleteInterface,
  readLinks,
  removeLeftoverInterfaces,
} from '../host/interface.ts'
import { ownerIn, ownerPid } from '../host/owner.ts'
import { CommandError, type Commands } from '../host/run.ts'
import type { BackendOptions, TunnelPeer } from './backend.ts'
import type { DevicePeer, DeviceState, WireGuardDevice } from './device.ts'
import type { PeerStep, WireGuardChange } from './diff.ts'
import { TunnelError } from './errors.ts'
import { portTakenError } from './listen-port.ts'
import { endpointOf } from './uapi-text.ts'

/** Steps in one invocation of `wg`: with a hundred allowed IPs each still far below the 2 MB that the
 *  arguments of a process may have. */
const STEPS_A_CALL = 250

/** Creates the interface and brings it up. Removes what an agent that died left there. Throws TunnelError:
 *  the module or `wg` is missing, it is not permitted, or the name is taken. */
export async function startKernel(options: BackendOptions): Promise<WireGuardDevice> {
  const { commands, interfaceName, log } = options
  const removed = await removeLeftoverInterfaces(commands, interfaceName)
  if (removed.length > 0) log('info', 'tunnel.leftover-removed', { interfaces: removed })
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
  const set = async (args: readonly string[], input?: string): Promise<void> => {
    await commands.run('wg', ['set', interfaceName, ...args], input === undefined ? {} : { input })
  }
  return {
    kind: 'kernel',
    interfaceName,
    ended: ended.promise,
    read: async () => parseDump(await commands.run('wg', ['show', interfaceName, 'dump'])),
    async change(change) {
      await setDevice(commands, set, change)
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
    await commands.run('wg', ['--version'])
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
    if (/File exists/.test(cause.stderr)) throw await nameTakenError(commands, name, cause)
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

async function nameTakenError(
  commands: Commands,
  name: string,
  cause: unknown,
): Promise<TunnelError> {
  const alias = (await readLinks(commands)).find((link) => link.name === name)?.alias ?? ''
  const holder =
    ownerIn(alias) === 'running' ? `the agent with process ${ownerPid(alias)}` : 'another'
  return new TunnelError(
    'ERR_TUNNEL_NAME_TAKEN',
    `interface name ${name} is taken by ${holder} (stop it, or choose another name with --interface)`,
    { cause },
  )
}

async function setDevice(
  commands: Commands,
  set: (args: readonly string[], input?: string) => Promise<void>,
  { privateKey, listenPort }: WireGuardChange,
): Promise<void> {
  // The private key by standard input: arguments are for everybody to see.
  const key = privateKey === undefined ? [] : ['private-key', '/dev/stdin']
  const port = listenPort === undefined ? [] : ['listen-port', `${listenPort}`]
  if (key.length + port.length === 0) return
  try {
    const input = privateKey === undefined ? undefined : toBase64(privateBytesOf(privateKey))
    await set([...port, ...key], input)
  } catch (error) {
    if (!(error instanceof CommandError) || !/Address already in use/.test(error.stderr))
      throw error
    throw await portTakenError(commands, listenPort, error)
  }
}

/** `wg set` can only replace the list of allowed IPs: each step gives the whole. */
function stepArguments(step: PeerStep): readonly string[] {
  const peer = ['peer', toBase64(step.publicKey)]
  switch (step.kind) {
    case 'set':
      return [
        ...peer,
        ...settingArguments(step),
        ...(step.isNew || step.gained.length > 0 ? ['allowed-ips', step.holds.join(',')] : []),
      ]
    case 'drop':
      return [...peer, 'allowed-ips', step.holds.join(',')]
    case 'remove':
      return [...peer, 'remove']
  }
}

function peerArguments(peer: TunnelPeer): readonly string[] {
  const key = ['peer', toBase64(peer.publicKey)]
  return [...key, ...settingArguments(peer), 'allowed-ips', peer.allowedIps.join(',')]
}

function settingArguments(
  change: Partial<Pick<TunnelPeer, 'endpoint' | 'persistentKeepalive'>>,
): readonly string[] {
  const { endpoint, persistentKeepalive } = change
  return [
    ...(endpoint === undefined ? [] : ['endpoint', formatEndpoint(endpoint)]),
    ...(persistentKeepalive === undefined
      ? []
      : ['persistent-keepalive', `${persistentKeepalive}`]),
  ]
}

/** The output of `wg show NAME dump` (wg(8)): tab-separated, the device's line first, then a line a peer.
 *  Throws MalformedError, EncodingError or KeyError on anything else. */
export function parseDump(dump: string): DeviceState {
  const [device = '', ...peers] = dump.split('\n').filter((line) => line !== '')
  const [privateKey = '(none)', , listenPort] = device.split('\t')
  return {
    ...(privateKey === '(none)'
      ? {}
      : { privateKey: agreementKeyPairFromPrivate(fromBase64(privateKey)) }),
    listenPort: Number(listenPort ?? 0),
    peers: peers.map(parsePeer),
  }
}

function parsePeer(line: string): DevicePeer {
  const [key = '', , endpoint, allowedIps = '', handshake, received, sent, keepalive] =
    line.split('\t')
  return {
    publicKey: parseAgreementPublicKey(fromBase64(key)),
    ...endpointOf(endpoint === '(none)' ? undefined : endpoint),
    allowedIps: allowedIps === '(none)' ? [] : allowedIps.split(',').map(parsePrefix),
    latestHandshake: seconds(Number(handshake)),
    receivedBytes: Number(received),
    sentBytes: Number(sent),
    persistentKeepalive: keepalive === 'off' ? 0 : Number(keepalive),
  }
}
