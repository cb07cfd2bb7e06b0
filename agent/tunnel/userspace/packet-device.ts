/** Packet device: where the packets inside the tunnel come from and go to: a TCP/IP stack in this process, or a TUN
 *  interface of the host. */
import type { Prefix } from '../../../protocol/address.ts'

export interface PacketDevice {
  /** A packet from the mesh; it belongs to the device from now on. */
  write(packet: Uint8Array): void
  /** Set by the tunnel: takes a packet into the mesh, which belongs to the tunnel from then on. */
  onPacket: (packet: Uint8Array) => void
  /** This device's own addresses, and bytes of the largest packet: when either changes. */
  configure(settings: { readonly addresses: readonly Prefix[]; readonly mtu: number }): void
}
