/** Own multiaddrs: by which other members reach this device, as the endpoint update tells them. */
import { type IpAddress, prefixAddress } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { MULTIADDRS } from '../../protocol/limits.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { announced } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'
import type { Reservations } from './reservations.ts'

/** Of these so many may be circuits. */
const CIRCUITS = 3
/** Milliseconds between looks at the host's addresses. */
const LOOK_MS = 5000

export interface OwnMultiaddrsOptions {
  readonly self: DeviceId
  state(): OrganizationState
  readonly reservations: Reservations
  readonly clock: Clock
}

/** Without those of the overlay: they only work where there is a tunnel already. */
export function ownMultiaddrs(mesh: MeshNode, options: OwnMultiaddrsOptions): readonly string[] {
  const member = memberOf(options.state(), options.self, options.clock.now())
  const overlay = new Set<IpAddress>(member?.certificate.addresses.map(prefixAddress) ?? [])
  const circuits = options.reservations.multiaddrs().slice(0, CIRCUITS)
  const hosts = announced(mesh.node.getMultiaddrs(), overlay)
  return [...hosts.slice(0, MULTIADDRS - circuits.length), ...circuits]
}

/** Calls `onChange` when they differ from the last look. */
export function watchOwnMultiaddrs(
  look: () => readonly string[],
  clock: Clock,
  onChange: () => void,
): { cancel(): void } {
  let known = look().join()
  return clock.every(LOOK_MS, () => {
    const now = look().join()
    if (now === known) return
    known = now
    onChange()
  })
}
