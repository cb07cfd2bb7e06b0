/** Binary heap of moments: what is due next comes out first, ties in the order they went in. */
export interface Due {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class Heap {
  readonly #items: Due[] = []

  get size(): number {
    return this.#items.length
  }

  peek(): Due | undefined {
    return this.#items[0]
  }

  push(item: Due): void {
    const items = this.#items
    items.push(item)
    let index = items.length - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.#isBefore(index, parent)) break
      this.#swap(index, parent)
      index = parent
    }
  }

  pop(): Due | undefined {
    const items = this.#items
    const first = items[0]
    const last = items.pop()
    if (first === undefined || last === undefined || items.length === 0) return first
    items[0] = last
    let index = 0
    for (;;) {
      const left = index * 2 + 1
      const right = left + 1
      let least = index
      if (left < items.length && this.#isBefore(left, least)) least = left
      if (right < items.length && this.#isBefore(right, least)) least = right
      if (least === index) return first
      this.#swap(index, least)
      index = least
    }
  }

  #isBefore(a: number, b: number): boolean {
    const x = this.#items[a]
    const y = this.#items[b]
    if (x === undefined || y === undefined) return false
    return x.atMs !== y.atMs ? x.atMs < y.atMs : x.order < y.order
  }

  #swap(a: number, b: number): void {
    const x = this.#items[a]
    const y = this.#items[b]
    if (x === undefined || y === undefined) return
    this.#items[a] = y
    this.#items[b] = x
  }
}
