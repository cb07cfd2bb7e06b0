/** Netlink socket: what Node has no words for, said to the C library (netlink(7)). Linux only. */
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { NetlinkError } from './netlink.ts'

/** The kernel works on a message before `send` returns: whoever then receives does not wait. */
export interface NetlinkSocket extends Disposable {
  send(bytes: Uint8Array): void
  receive(): Uint8Array
}

/** AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC. */
const [FAMILY, TYPE] = [16, 0x80003]
/** NETLINK_ROUTE and NETLINK_GENERIC. */
const PROTOCOLS = { route: 0, generic: 16 } as const
/** SOL_SOCKET and SO_RCVTIMEO, whose value is a `struct timeval` of 5 s: only a fault takes so long. */
const [SOCKET_LEVEL, RECEIVE_TIMEOUT] = [1, 20]
const TIMEOUT = Buffer.from(new BigInt64Array([5n, 0n]).buffer)
/** SOL_NETLINK. NETLINK_CAP_ACK: an answer does not repeat what was asked; NETLINK_EXT_ACK: it says why in words, where
 *  the kernel can. NETLINK_GET_STRICT_CHK: a dump is of what was asked for (Linux 4.20). */
const NETLINK_LEVEL = 270
const [WORDS, STRICT] = [[10, 11], 12] as const
const ON = Buffer.from(new Int32Array([1]).buffer)
/** One read of a dump is 32 kB at most. */
const BUFFER_BYTES = 65_536

/** To the kernel of the network namespace that this process is in. Throws NetlinkError, or where koffi has no
 *  build for this system. */
export function openNetlink(protocol: keyof typeof PROTOCOLS): NetlinkSocket {
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int family, int type, int protocol)')
  const option = libc.func(
    'int setsockopt(int fd, int level, int name, uint8_t *value, uint32_t bytes)',
  )
  const send = libc.func('long send(int fd, uint8_t *buffer, unsigned long bytes, int flags)')
  const receive = libc.func('long recv(int fd, uint8_t *buffer, unsigned long bytes, int flags)')
  const close = libc.func('int close(int fd)')
  const checked = (what: string, result: number): number => {
    if (result >= 0) return result
    throw new NetlinkError(what, getSystemErrorName(-koffi.errno()))
  }
  const fd = checked('opening netlink', socket(FAMILY, TYPE, PROTOCOLS[protocol]))
  const set = (level: number, name: number, value: Uint8Array): number =>
    option(fd, level, name, value, value.length)
  try {
    checked('limiting netlink', set(SOCKET_LEVEL, RECEIVE_TIMEOUT, TIMEOUT))
    if (protocol === 'route') checked('limiting dumps', set(NETLINK_LEVEL, STRICT, ON))
  } catch (error) {
    close(fd)
    throw error
  }
  for (const each of WORDS) set(NETLINK_LEVEL, each, ON)
  const buffer = new Uint8Array(BUFFER_BYTES)
  return {
    send: (bytes) => void checked('sending', send(fd, bytes, bytes.length, 0)),
    receive: () => buffer.slice(0, checked('receiving', receive(fd, buffer, buffer.length, 0))),
    [Symbol.dispose]: () => void close(fd),
  }
}
