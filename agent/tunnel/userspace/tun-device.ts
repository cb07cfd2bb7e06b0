/** TUN device: an interface of the host whose packets this process reads and writes, one packet a call (tun(4)). */
import { closeSync, constants, openSync } from 'node:fs'
import { TunnelError } from '../errors.ts'
import { nameTakenError } from '../interface-name.ts'
import type { PacketDevice } from './packet-device.ts'

/** Of the C library, each with a result or the name of an error. */
export interface TunCalls {
  control(fd: number, request: number, argument: Uint8Array): number | string
  read(fd: number, buffer: Uint8Array): number | string
  write(fd: number, packet: Uint8Array): number | string
  eventfd(): number | string
  /** Resolves when there is something to read from one of them, or one has failed; holds a thread for so long. */
  waitReadable(fds: readonly number[]): Promise<void>
}

export interface TunDevice extends PacketDevice, AsyncDisposable {
  /** Resolves when it is no more: with the fault where somebody removed the interface, else undefined. */
  readonly ended: Promise<Error | undefined>
}

const PATH = '/dev/net/tun'
/** TUNSETIFF, _IOW('T', 202, int), as most architectures write it; its argument is a `struct ifreq`. */
const TUNSETIFF = 0x4004_54ca
const IFREQ_BYTES = 40
const FLAGS_AT = 16
/** IFF_TUN and IFF_NO_PI: packets of IP without a header. */
const FLAGS = 0x1001
/** The largest packet of an interface. */
const PACKET_BYTES = 65_535
/** Packets between two turns of the event loop. */
const PACKETS_A_TURN = 64

/** Makes the interface; it is down, and has no address. Throws TunnelError: no /dev/net/tun, not permitted, or the
 *  name is taken. Disposing removes it. */
export function openTun(interfaceName: string, calls: TunCalls): TunDevice {
  const fd = openDevice(interfaceName)
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(interfaceName)
  request.writeUInt16LE(FLAGS, FLAGS_AT)
  const made = calls.control(fd, TUNSETIFF, request)
  if (typeof made === 'string') {
    closeSync(fd)
    throw notMade(interfaceName, made)
  }
  const waker = calls.eventfd()
  if (typeof waker === 'string') {
    closeSync(fd)
    throw new TunnelError('ERR_TUNNEL_GONE', `cannot watch ${interfaceName}: ${waker}`)
  }
  return reading(interfaceName, { fd, waker }, calls)
}

function reading(
  interfaceName: string,
  { fd, waker }: { readonly fd: number; readonly waker: number },
  calls: TunCalls,
): TunDevice {
  const buffer = new Uint8Array(PACKET_BYTES)
  let isClosing = false
  /** Both descriptors are closed: their numbers may be another's. */
  let isClosed = false
  const device = {
    onPacket: (_packet: Uint8Array): void => undefined,
    // The host's interface has them by its own commands.
    configure: (): void => undefined,
    // A packet that the interface does not take, for it is down, is lost as on any link.
    write: (packet: Uint8Array): void => {
      if (!isClosed) calls.write(fd, packet)
    },
  }
  /** Undefined: nothing more at the moment. */
  const readPackets = (): Error | 'more' | undefined => {
    for (let count = 0; count < PACKETS_A_TURN; count += 1) {
      const length = calls.read(fd, buffer)
      if (length === 'EAGAIN' || length === 'EINTR') return undefined
      if (typeof length === 'string') return goneError(interfaceName, length)
      device.onPacket(buffer.slice(0, length))
    }
    return 'more'
  }
  const run = async (): Promise<Error | undefined> => {
    while (!isClosing) {
      const found = readPackets()
      if (found instanceof Error) return isClosing ? undefined : found
      if (found === 'more') await new Promise((resolve) => setImmediate(resolve))
      else await calls.waitReadable([fd, waker])
    }
    return undefined
  }
  const ended = run().finally(() => {
    isClosed = true
    closeSync(fd)
    closeSync(waker)
  })
  return Object.assign(device, {
    ended,
    async [Symbol.asyncDispose](): Promise<void> {
      if (!isClosing && !isClosed) calls.write(waker, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]))
      isClosing = true
      await ended
    },
  })
}

function openDevice(interfaceName: string): number {
  try {
    return openSync(PATH, constants.O_RDWR | constants.O_NONBLOCK)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw notMade(interfaceName, code)
  }
}

function notMade(interfaceName: string, code: string): TunnelError {
  switch (code) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO': {
      const hint = 'load the module tun, or give the container --device /dev/net/tun'
      return new TunnelError(
        'ERR_TUNNEL_BACKEND_MISSING',
        `${interfaceName} needs ${PATH}, which is not there (${hint})`,
      )
    }
    case 'EBUSY':
      return nameTakenError(interfaceName, 'by another interface')
    case 'EACCES':
    case 'EPERM':
      return new TunnelError(
        'ERR_TUNNEL_PRIVILEGES',
        `cannot create ${interfaceName}: ${code} at ${PATH} (run as root, or with CAP_NET_ADMIN)`,
      )
    default:
      return new TunnelError('ERR_TUNNEL_REFUSED', `cannot create ${interfaceName}: ${code}`)
  }
}

function goneError(interfaceName: string, code: string): TunnelError {
  return new TunnelError(
    'ERR_TUNNEL_GONE',
    `interface ${interfaceName} cannot be read any more: ${code} (somebody removed it)`,
  )
}
