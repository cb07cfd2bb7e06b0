/** The wireguard-go backend: a process that carries WireGuard over a TUN device, told what to do by UAPI. */
import type { ChildProcess } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Clock } from '../../protocol/clock.ts'
import { claimInterface } from '../host/interface.ts'
import { missingCommand } from '../host/run.ts'
import type { BackendOptions } from './backend.ts'
import type { WireGuardDevice } from './device.ts'
import { TunnelError } from './errors.ts'
import { nameTakenError } from './interface-name.ts'
import { portTakenError } from './listen-port.ts'
import { openUapi, type Uapi, UapiError } from './uapi.ts'
import {
  changeLines,
  deviceStateOf,
  newUapiMemory,
  replaceLines,
  updateLines,
} from './uapi-text.ts'

/** Sockets are in the file system, not in the network namespace: one name a host. */
const SOCKET_DIRECTORY = '/var/run/wireguard'
/** Milliseconds for the device to be ready (measured: 10), and for the process to end before it is killed. */
const [START_TIMEOUT_MS, STOP_TIMEOUT_MS] = [5000, 2000]
/** Of what it complained of, for the message where it ends. */
const LAST_LINES = 3
/** Milliseconds between looks at whether it answers. */
const LOOK_MS = 2

/** Starts wireguard-go under a name that no interface has, and brings the interface up. Removes the socket
 *  that an agent which died left. Throws TunnelError: missing, not permitted, or the name is taken.
 *  @param wasLeft an interface of that name was removed just now */
export async function startWireguardGo(
  options: BackendOptions,
  wasLeft: boolean,
): Promise<WireGuardDevice> {
  const { commands, clock, interfaceName } = options
  await clearSocket(options, wasLeft)
  const daemon = startDaemon(options)
  const uapi = openUapi(socketOf(interfaceName), clock)
  try {
    await untilReady(daemon, options, () => answers(interfaceName))
    await claimInterface(commands, interfaceName)
    // WireGuard binds a port only when it has seen the interface go up, and only then says if it cannot.
    await untilReady(daemon, options, async () => deviceStateOf(await uapi.get()).listenPort > 0)
  } catch (error) {
    await uapi[Symbol.asyncDispose]()
    await daemon.stop()
    throw daemon.fault() ?? error
  }
  return deviceOver(uapi, daemon, options)
}

function deviceOver(uapi: Uapi, daemon: Daemon, options: BackendOptions): WireGuardDevice {
  const { commands, interfaceName } = options
  const memory = newUapiMemory()
  return {
    kind: 'wireguard-go',
    interfaceName,
    ended: daemon.ended,
    read: async () => deviceStateOf(await uapi.get(), memory),
    async change(change) {
      try {
        await uapi.set(changeLines(change))
      } catch (error) {
        if (!(error instanceof UapiError) || error.errno !== 'EADDRINUSE') throw error
        throw await portTakenError(commands, change.listenPort, error)
      }
    },
    setEndpoint: (publicKey, endpoint) => uapi.set(updateLines(publicKey, { endpoint })),
    setKeepalive: (publicKey, seconds) =>
      uapi.set(updateLines(publicKey, { persistentKeepalive: seconds })),
    replacePeer: (peer) => uapi.set(replaceLines(peer)),
    async [Symbol.asyncDispose]() {
      await uapi[Symbol.asyncDispose]()
      await daemon.stop()
      // A process that was killed leaves it.
      if (!(await answers(interfaceName))) await rm(socketOf(interfaceName), { force: true })
    },
  }
}

function socketOf(interfaceName: string): string {
  return `${SOCKET_DIRECTORY}/${interfaceName}.sock`
}

/** Removes a socket that nobody listens on; refuses a name that somebody living has. */
async function clearSocket(
  { clock, interfaceName }: BackendOptions,
  wasLeft: boolean,
): Promise<void> {
  // A wireguard-go whose interface was removed ends by itself.
  const until = clock.monotonicMs() + (wasLeft ? STOP_TIMEOUT_MS : 0)
  while (await answers(interfaceName)) {
    if (clock.monotonicMs() >= until) {
      const socket = socketOf(interfaceName)
      throw nameTakenError(interfaceName, `by another WireGuard, which answers at ${socket}`)
    }
    await clock.sleep(LOOK_MS)
  }
  await rm(socketOf(interfaceName), { force: true })
}

/** Does a process listen on the name's socket? */
function answers(interfaceName: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketOf(interfaceName))
    const end = (isAnswered: boolean): void => {
      socket.destroy()
      resolve(isAnswered)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}

/** The process. */
interface Daemon {
  /** As WireGuardDevice's. */
  readonly ended: Promise<Error | undefined>
  /** Why it ended by itself, once it has. */
  fault(): Error | undefined
  stop(): Promise<void>
}

function startDaemon({ commands, clock, interfaceName, log }: BackendOptions): Daemon {
  const child = commands.start('wireguard-go', ['-f', interfaceName], { LOG_LEVEL: 'error' })
  const said: string[] = []
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (!/^ERROR|fail|exec of/i.test(line)) return
      said.push(line)
      if (said.length > LAST_LINES) said.shift()
      log('debug', 'tunnel.wireguard-go-said', { line })
    })
  }
  child.stdout?.resume()
  let fault: Error | undefined
  let isStopping = false
  const ended = new Promise<Error | undefined>((resolve) => {
    const end = (error: Error): void => {
      if (!isStopping) fault ??= error
      resolve(fault)
    }
    child.once('error', (cause) => end(startError(interfaceName, 'ENOENT', cause)))
    child.once('close', (status, signal) => {
      end(startError(interfaceName, said.join('; '), `ended with ${status ?? signal}`))
    })
  })
  const stop = (): Promise<void> => {
    isStopping = true
    return stopProcess(child, ended, clock)
  }
  return { ended, fault: () => fault, stop }
}

async function stopProcess(
  child: ChildProcess,
  ended: Promise<unknown>,
  clock: Clock,
): Promise<void> {
  child.kill('SIGTERM')
  const timer = clock.after(STOP_TIMEOUT_MS, () => child.kill('SIGKILL'))
  await ended
  timer.cancel()
}

async function untilReady(
  daemon: Daemon,
  { clock, interfaceName }: BackendOptions,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const until = clock.monotonicMs() + START_TIMEOUT_MS
  while (!(await isReady())) {
    const fault = daemon.fault()
    if (fault !== undefined) throw fault
    if (clock.monotonicMs() > until) {
      const message = `wireguard-go for ${interfaceName} was not ready in ${START_TIMEOUT_MS} ms`
      throw new TunnelError('ERR_TUNNEL_GONE', `${message} (look at its process)`)
    }
    await clock.sleep(LOOK_MS)
  }
}

/** From what wireguard-go wrote when it ended, or the reason why it could not be run. */
function startError(interfaceName: string, said: string, cause: unknown): Error {
  if (said === 'ENOENT' || said.startsWith('exec of')) {
    const { message } = missingCommand('wireguard-go', cause)
    return new TunnelError('ERR_TUNNEL_BACKEND_MISSING', message, { cause })
  }
  if (/resource busy/.test(said)) return nameTakenError(interfaceName, 'by another interface')
  if (/net\/tun does not exist|no such device/.test(said)) {
    const hint = 'load the module tun, or give the container --device /dev/net/tun'
    const message = `wireguard-go needs /dev/net/tun, which is not there (${hint})`
    return new TunnelError('ERR_TUNNEL_BACKEND_MISSING', message)
  }
  if (/not permitted|permission denied/i.test(said)) {
    const message = `wireguard-go may not create ${interfaceName}: ${said}`
    const hint = 'run as root, or with CAP_NET_ADMIN'
    return new TunnelError('ERR_TUNNEL_PRIVILEGES', `${message} (${hint})`)
  }
  const why = said === '' ? String(cause) : said
  return new TunnelError('ERR_TUNNEL_GONE', `wireguard-go for ${interfaceName} ended: ${why}`)
}
