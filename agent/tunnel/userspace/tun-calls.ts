/** TUN calls: what Node has no words for, said to the C library. Linux only (tun(4)). */
import { constants } from 'node:os'
import koffi from 'koffi'
import type { TunCalls } from './tun-device.ts'

/** Of two names of one number the first: EAGAIN, not EWOULDBLOCK. */
const ERRORS = new Map(
  Object.entries(constants.errno)
    .map(([name, number]) => [number, name] as const)
    .toReversed(),
)
/** `struct pollfd`: a descriptor, 4 bytes; events and what of them came, 2 each (poll(2)). */
const POLLFD_BYTES = 8

/** Throws where this system has no such library, or koffi no build for it. */
export function tunCalls(): TunCalls {
  const libc = koffi.load(null)
  const ioctl = libc.func('int ioctl(int fd, unsigned long request, uint8_t *argument)')
  const read = libc.func('long read(int fd, uint8_t *buffer, unsigned long bytes)')
  const write = libc.func('long write(int fd, uint8_t *buffer, unsigned long bytes)')
  const poll = libc.func('int poll(uint8_t *fds, unsigned long count, int timeoutMs)')
  const eventfd = libc.func('int eventfd(unsigned int value, int flags)')
  const checked = (result: number): number | string =>
    result >= 0 ? result : (ERRORS.get(koffi.errno()) ?? `errno ${koffi.errno()}`)
  return {
    control: (fd, request, argument) => checked(ioctl(fd, request, argument)),
    read: (fd, buffer) => checked(read(fd, buffer, buffer.length)),
    write: (fd, packet) => checked(write(fd, packet, packet.length)),
    eventfd: () => checked(eventfd(0, 0)),
    waitReadable: (fds) => {
      const asked = Buffer.alloc(POLLFD_BYTES * fds.length)
      for (const [index, fd] of fds.entries()) {
        asked.writeInt32LE(fd, index * POLLFD_BYTES)
        asked.writeInt16LE(1, index * POLLFD_BYTES + 4)
      }
      return new Promise((resolve) => {
        poll.async(asked, fds.length, -1, () => resolve())
      })
    },
  }
}
