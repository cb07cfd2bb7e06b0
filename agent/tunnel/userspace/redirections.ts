/** Redirections: for a moment what WireGuard sends to a peer's other endpoints goes to the one that is in use now, as
 *  agent/host/redirected-endpoints.ts says; inside the process that is a look-up. */
import { type Endpoint, formatEndpoint } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import {
  REDIRECTED_MS,
  REDIRECTIONS,
  type RedirectedEndpoints,
} from '../../host/redirected-endpoints.ts'

export class Redirections implements RedirectedEndpoints {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #known = new Map<string, { readonly to: Endpoint; readonly untilMs: number }>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  async redirect(others: readonly Endpoint[], endpoint: Endpoint): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    for (const other of others) {
      const name = formatEndpoint(other)
      this.#known.delete(name)
      this.#known.set(name, { to: endpoint, untilMs: nowMs + REDIRECTED_MS })
    }
    this.#known.delete(formatEndpoint(endpoint))
    this.#forget(nowMs)
  }

  /** Where a datagram for `endpoint` goes. */
  of(endpoint: Endpoint): Endpoint {
    if (this.#known.size === 0) return endpoint
    this.#forget(this.#clock.monotonicMs())
    return this.#known.get(formatEndpoint(endpoint))?.to ?? endpoint
  }

  /** The oldest come first. */
  #forget(nowMs: number): void {
    for (const [name, { untilMs }] of this.#known) {
      if (untilMs > nowMs && this.#known.size <= REDIRECTIONS) return
      this.#known.delete(name)
    }
  }
}
