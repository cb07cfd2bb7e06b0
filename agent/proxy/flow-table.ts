/** Flow table: UDP flows by who they are from; one that is silent for a minute is forgotten. */

import type { Log } from '../../protocol/log.ts'
import { LimitLog } from './limit-log.ts'

export interface FlowLimits {
  /** Milliseconds without a datagram either way. */
  readonly idleMs: number
  /** Of one rule's port. */
  readonly flows: number
  /** Of them of one source address. */
  readonly ofSource: number
  /** Milliseconds that a flow may be idle and still not make room for a new one. */
  readonly keptMs: number
}

/** Of one source, so many that a part of the table is left to the others. */
export const FLOW_LIMITS: FlowLimits = {
  idleMs: 60_000,
  flows: 12_288,
  ofSource: 10_240,
  keptMs: 10_000,
}

/** How many there are in all tables of a proxy, and what bounds each table. */
export class FlowCount {
  readonly limits: FlowLimits
  size = 0

  constructor(limits = FLOW_LIMITS) {
    this.limits = limits
  }
}

export interface FlowTableOptions {
  /** Of the port, for the log. */
  readonly name: string
  readonly count: FlowCount
  readonly log: Log
}

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
  readonly #count: FlowCount
  readonly #full: LimitLog

  /** @param onEnd of a flow that is forgotten */
  constructor(onEnd: (value: T) => void, { name, count, log }: FlowTableOptions) {
    this.#onEnd = onEnd
    this.#count = count
    this.#full = new LimitLog(log, 'proxy.flows-full', name)
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
    const { limits } = this.#count
    if ((this.#ofSource.get(source) ?? 0) >= limits.ofSource)
      return this.#full.refused(limits.ofSource, source)
    if (this.#flows.size < limits.flows) return true
    const [oldest] = this.#flows
    if (oldest === undefined || nowMs - oldest[1].lastMs < limits.keptMs)
      return this.#full.refused(limits.flows)
    this.end(oldest[0])
    return true
  }

  add(key: string, source: string, value: T, nowMs: number): void {
    this.#flows.set(key, { value, source, lastMs: nowMs })
    this.#ofSource.set(source, (this.#ofSource.get(source) ?? 0) + 1)
    this.#count.size += 1
  }

  end(key: string): void {
    const flow = this.#flows.get(key)
    if (flow === undefined) return
    this.#flows.delete(key)
    const left = (this.#ofSource.get(flow.source) ?? 1) - 1
    if (left === 0) this.#ofSource.delete(flow.source)
    else this.#ofSource.set(flow.source, left)
    this.#count.size -= 1
    this.#full.left(left, this.#count.limits.ofSource, flow.source)
    this.#full.left(this.#flows.size, this.#count.limits.flows)
    this.#onEnd(flow.value)
  }

  /** Forgets what has been silent for too long. */
  expire(nowMs: number): void {
    for (const [key, { lastMs }] of this.#flows) {
      if (nowMs - lastMs < this.#count.limits.idleMs) return
      this.end(key)
    }
  }

  endAll(): void {
    for (const key of [...this.#flows.keys()]) this.end(key)
  }
}
