/** Stack device: the stack as the end of a userspace tunnel, which says when addresses and MTU change. */
import { type Prefix, prefixAddress } from '../../protocol/address.ts'
import { createStack, MTU_BOUNDS, type Stack, type StackOptions } from './stack.ts'

/** What a tunnel inside the process hands packets to, and takes them from (its `PacketDevice`). */
export interface StackDevice {
  write(packet: Uint8Array): void
  onPacket: (packet: Uint8Array) => void
  configure(settings: { readonly addresses: readonly Prefix[]; readonly mtu: number }): void
}

/** A stack with no address yet: the tunnel gives it those of this device. What it sends before there is a tunnel is
 *  lost. */
export function newStackDevice(options: Pick<StackOptions, 'clock' | 'random' | 'log'>): {
  readonly stack: Stack
  readonly device: StackDevice
} {
  const device: StackDevice = {
    write: (packet) => stack.write(packet),
    onPacket: () => {},
    configure: ({ addresses, mtu }) => {
      stack.setMtu(mtu)
      stack.setAddresses(addresses.map(prefixAddress))
    },
  }
  const stack = createStack({
    ...options,
    addresses: [],
    mtu: MTU_BOUNDS.least,
    onPacket: (packet) => device.onPacket(packet),
  })
  return { stack, device }
}
