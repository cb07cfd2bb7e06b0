/** Links between agents as TCP carries them: in order, late by a delay, later where a segment is lost. */
import type { VirtualClock } from './virtual-clock.ts'

export interface LinkModel {
  /** One-way delay of a link, drawn once for it between these, milliseconds. */
  readonly delayMs: readonly [least: number, most: number]
  /** Share of messages whose segment is lost once; TCP sends it again after RTO (RFC 6298: ≥ 200 ms here). */
  readonly loss: number
  /** Milliseconds a node needs to read and pass on one message (measured with real nodes). */
  readonly processingMs: number
}

const RTO_LEAST_MS = 200

/** One direction of one link. */
export class Link {
  readonly #clock: VirtualClock
  readonly #random: () => number
  readonly #model: LinkModel
  readonly #delayMs: number
  #freeAtMs = 0

  constructor(clock: VirtualClock, random: () => number, model: LinkModel, delayMs: number) {
    this.#clock = clock
    this.#random = random
    this.#model = model
    this.#delayMs = delayMs
  }

  /** `deliver` runs when the message arrives; never before one sent earlier. */
  send(deliver: () => void): void {
    let delay = this.#delayMs + this.#model.processingMs
    while (this.#random() < this.#model.loss) delay += Math.max(RTO_LEAST_MS, this.#delayMs * 2)
    const arrival = Math.max(this.#clock.monotonicMs() + delay, this.#freeAtMs)
    this.#freeAtMs = arrival
    this.#clock.after(arrival - this.#clock.monotonicMs(), deliver)
  }
}

/** Pairs of a connected random graph: a ring, and chords until each node has about `degree` links. */
export function randomGraph(
  nodes: number,
  degree: number,
  random: () => number,
): readonly (readonly [number, number])[] {
  const pairs = new Map<string, readonly [number, number]>()
  const join = (a: number, b: number): void => {
    if (a !== b) pairs.set(a < b ? `${a} ${b}` : `${b} ${a}`, a < b ? [a, b] : [b, a])
  }
  for (let node = 0; node < nodes; node += 1) join(node, (node + 1) % nodes)
  const wanted = Math.min((nodes * degree) / 2, (nodes * (nodes - 1)) / 2)
  while (pairs.size < wanted) join(Math.floor(random() * nodes), Math.floor(random() * nodes))
  return [...pairs.values()]
}
