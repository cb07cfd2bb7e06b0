/** Stack device: the TCP/IP stack of this process as the inside of its tunnel. */
import type { RandomBytes } from '../../../crypto/random.ts'
import { prefixAddress } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import type { Log } from '../../../protocol/log.ts'
import { createStack, type Stack } from '../../stack/stack.ts'
import { interfaceMtu } from '../mtu.ts'
import type { PacketDevice } from './packet-device.ts'

/** The stack has no address until the tunnel is configured. Whoever disposes the stack ends the device. */
export function stackDevice(options: {
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
}): { readonly stack: Stack; readonly device: PacketDevice } {
  const stack = createStack({
    ...options,
    addresses: [],
    mtu: interfaceMtu(undefined),
    onPacket: (packet) => device.onPacket(packet),
  })
  const device: PacketDevice = {
    onPacket: () => undefined,
    write: (packet) => stack.write(packet),
    configure: ({ addresses, mtu }) => {
      stack.setAddresses(addresses.map(prefixAddress))
      stack.setMtu(mtu)
    },
  }
  return { stack, device }
}
