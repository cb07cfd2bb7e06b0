/** Shared port: the UDP port of a WireGuard that runs in this process, as connectivity checks and relays use it. */
import type { Endpoint, IpAddress } from '../../../protocol/address.ts'

export interface SharedPort {
  /** Takes what comes by the port and is not WireGuard's. */
  onOther: (datagram: Uint8Array, from: Endpoint) => void
  /** A datagram of somebody else's by the port. False: dropped. */
  sendOther(datagram: Uint8Array, to: Endpoint): boolean
  /** What WireGuard sends to that address, `take` has; nothing of it goes out. */
  divert(address: IpAddress, take: (datagram: Uint8Array) => void): void
  undivert(address: IpAddress): void
  /** A datagram for WireGuard that came by another way. */
  inject(datagram: Uint8Array, from: Endpoint): void
  /** All that goes to that endpoint `take` has, WireGuard's and others'; undefined: it goes by the port again. */
  divertEndpoint(remote: Endpoint, take: ((datagram: Uint8Array) => void) | undefined): void
  /** A datagram, whosever, that came by another port. */
  arrived(datagram: Uint8Array, from: Endpoint): void
}
