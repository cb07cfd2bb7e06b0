/** Relay roles: who passes on datagrams for others, by the role in membership certificates (SPEC §12.1). */
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { OrganizationState } from '../../protocol/state.ts'

/** Milliseconds for which an answer about a role is good: it is asked for each datagram. */
const ROLE_MS = 1000
/** Devices remembered. */
const REMEMBERED = 4096

export class RelayRoles {
  readonly #state: () => OrganizationState
  readonly #clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly #known = new Map<DeviceId, { readonly has: boolean; readonly at: number }>()

  constructor(state: () => OrganizationState, clock: Pick<Clock, 'now' | 'monotonicMs'>) {
    this.#state = state
    this.#clock = clock
  }

  /** @param device undefined: a registry, which has it */
  has(device: DeviceId | undefined): boolean {
    if (device === undefined) return true
    const now = this.#clock.monotonicMs()
    const cached = this.#known.get(device)
    if (cached !== undefined && now - cached.at < ROLE_MS) return cached.has
    const member = memberOf(this.#state(), device, this.#clock.now())
    const fresh = { has: member?.certificate.roles.includes('relay') === true, at: now }
    if (this.#known.size > REMEMBERED) this.#known.clear()
    this.#known.set(device, fresh)
    return fresh.has
  }
}
