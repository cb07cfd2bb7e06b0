/** Deadlines: which of many owners is due next. A deadline that moved later costs nothing until it would have been due,
 *  for that is what each packet does to its peer's. */

interface Entry<O> {
  readonly atMs: number
  readonly owner: O
}

export class Deadlines<O> {
  readonly #dueMs: (owner: O) => number
  readonly #heap: Entry<O>[] = []
  readonly #scheduled = new Map<O, number>()

  /** @param dueMs when the owner is due, Infinity for never */
  constructor(dueMs: (owner: O) => number) {
    this.#dueMs = dueMs
  }

  /** The owner's deadline may have changed. */
  changed(owner: O): void {
    const dueMs = this.#dueMs(owner)
    if (dueMs >= (this.#scheduled.get(owner) ?? Number.POSITIVE_INFINITY)) return
    this.#scheduled.set(owner, dueMs)
    this.#push({ atMs: dueMs, owner })
  }

  forget(owner: O): void {
    this.#scheduled.delete(owner)
  }

  /** When to ask for `takeDue`; Infinity for never. Not later than the earliest deadline. */
  nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY
  }

  /** An owner that is due; afterwards its deadline must have moved, and `changed` be called. */
  takeDue(nowMs: number): O | undefined {
    while (this.nextMs() <= nowMs) {
      const entry = this.#pop()
      if (entry === undefined || this.#scheduled.get(entry.owner) !== entry.atMs) continue
      this.#scheduled.delete(entry.owner)
      if (this.#dueMs(entry.owner) <= nowMs) return entry.owner
      this.changed(entry.owner)
    }
    return undefined
  }

  #push(entry: Entry<O>): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.atMs <= entry.atMs) break
      heap[index] = above
      heap[parent] = entry
      index = parent
    }
  }

  #pop(): Entry<O> | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (last === undefined || last === first) return first
    heap[0] = last
    let index = 0
    for (;;) {
      const least = this.#lesserChild(index)
      const below = heap[least]
      if (below === undefined || below.atMs >= last.atMs) return first
      heap[index] = below
      heap[least] = last
      index = least
    }
  }

  #lesserChild(index: number): number {
    const [left, right] = [index * 2 + 1, index * 2 + 2]
    const [a, b] = [this.#heap[left]?.atMs, this.#heap[right]?.atMs]
    return b !== undefined && a !== undefined && b < a ? right : left
  }
}
