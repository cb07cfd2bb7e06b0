/** Segmentation: the socket option that has the kernel cut a large datagram into many, which Node has no words for
 *  (UDP_SEGMENT, udp(7)). Linux only. */
import { readdirSync, readlinkSync } from 'node:fs'
import type { AddressInfo } from 'node:net'

/** SOL_UDP and UDP_SEGMENT, whose value is an int. */
const [UDP_LEVEL, SEGMENT] = [17, 103]
/** AF_INET and AF_INET6 of Linux; `struct sockaddr_in6` has 28 bytes. */
const FAMILIES = new Map([
  [2, 'IPv4'],
  [10, 'IPv6'],
])
const [PORT_AT, ADDRESS_BYTES] = [2, 28]
const DESCRIPTORS = '/proc/self/fd'

/** From now on whatever is longer than so many bytes is cut; 0: nothing. False where the kernel refuses. */
export type Segmentation = (bytes: number) => boolean

/** Of the UDP socket that this process has bound there. Undefined where the kernel, or koffi, knows nothing of it. */
export async function segmentationOf({
  family,
  port,
}: AddressInfo): Promise<Segmentation | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const libc = koffi.load(null)
    const name = libc.func('int getsockname(int fd, uint8_t *address, uint32_t *bytes)')
    const option = libc.func(
      'int setsockopt(int fd, int level, int name, int32_t *value, uint32_t bytes)',
    )
    const isBoundThere = (fd: number): boolean => {
      const address = Buffer.alloc(ADDRESS_BYTES)
      if (name(fd, address, Uint32Array.of(ADDRESS_BYTES)) !== 0) return false
      return (
        FAMILIES.get(address.readUInt16LE(0)) === family && address.readUInt16BE(PORT_AT) === port
      )
    }
    const set = (fd: number, bytes: number): boolean =>
      option(fd, UDP_LEVEL, SEGMENT, Int32Array.of(bytes), 4) === 0
    // TCP may have the port, too, but not the option.
    const found = openSockets().find((fd) => isBoundThere(fd) && set(fd, 0))
    return found === undefined ? undefined : (bytes) => set(found, bytes)
  } catch {
    return undefined
  }
}

function openSockets(): readonly number[] {
  return readdirSync(DESCRIPTORS).filter(isSocket).map(Number)
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(`${DESCRIPTORS}/${descriptor}`).startsWith('socket:')
  } catch {
    // The one that the folder itself was read by.
    return false
  }
}
