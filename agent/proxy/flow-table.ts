/** Flow table: UDP flows by who they are from; one that is silent for a minute is forgotten. */

export const FLOW_LIMITS = {
  /** Milliseconds without a datagram either way. */
  idleMs: 60_000,
  /** Of one rule's port. */
  flows: 12_288,
  /** Of them of one source address: half of the table is left to the others. */
  ofSource: 10_240,
  /** Milliseconds that a flow may be idle and still not make room for a new one. */
  keptMs: 10_000,
} as const

interface Flow<T> {
  readonly value: T
  readonly source: string
  lastMs: number
}

export class FlowTable<T> {
  /** The one that was silent for longest first. */
  readonly #flows = new Map<string, Flow<T>>()
  readonly #ofSource = new Map<string, number>()
  readonly #onEnd: (value: T) => void

  /** @param onEnd of a flow that is forgotten */
  constructor(onEnd: (value: T) => void) {
    this.#onEnd = onEnd
  }

  get size(): number {
    return this.#flows.size
  }

  /** The flow, which is now the last that was heard of. */
  heard(key: string, nowMs: number): T | undefined {
    const flow = this.#flows.get(key)
    if (flow === undefined) return undefined
    flow.lastMs = nowMs
    this.#flows.delete(key)
    this.#flows.set(key, flow)
    return flow.value
  }

  /** Is there room for another flow of this source? Makes some, where a flow has been silent for a while. */
  hasRoom(source: string, nowMs: number): boolean {
    if ((this.#ofSource.get(source) ?? 0) >= FLOW_LIMITS.ofSource) return false
    if (this.#flows.size < FLOW_LIMITS.flows) return true
    const [oldest] = this.#flows
    if (oldest === undefined || nowMs - oldest[1].lastMs < FLOW_LIMITS.keptMs) return false
    this.end(oldest[0])
    return true
  }

  add(key: string, source: string, value: T, nowMs: number): void {
    this.#flows.set(key, { value, source, lastMs: nowMs })
    this.#ofSource.set(source, (this.#ofSource.get(source) ?? 0) + 1)
  }

  end(key: string): void {
    const flow = this.#flows.get(key)
    if (flow === undefined) return
    this.#flows.delete(key)
    const left = (this.#ofSource.get(flow.source) ?? 1) - 1
    if (left === 0) this.#ofSource.delete(flow.source)
    else this.#ofSource.set(flow.source, left)
    this.#onEnd(flow.value)
  }

  /** Forgets what has been silent for too long. */
  expire(nowMs: number): void {
    for (const [key, { lastMs }] of this.#flows) {
      if (nowMs - lastMs < FLOW_LIMITS.idleMs) return
      this.end(key)
    }
  }

  endAll(): void {
    for (const key of [...this.#flows.keys()]) this.end(key)
  }
}
