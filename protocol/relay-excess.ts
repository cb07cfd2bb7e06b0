/** Relay excess: what a relay dropped of each member, told once a minute: a flood must not flood the log. */

interface Named {
  readonly organization: string
  readonly address: string
}

export interface Excess {
  readonly reason: 'over-rate' | 'not-wireguard' | 'pings'
  /** Since the last time. */
  readonly datagrams: number
  readonly bytes: number
}

const TELL_MS = 60_000
/** Members remembered; whoever leaves and comes back is not told of anew. */
const REMEMBERED = 4096

interface Count {
  datagrams: number
  bytes: number
  toldMs: number
}

export class RelayExcess<M extends Named> {
  readonly #counts = new Map<string, Count>()
  readonly #tell: (member: M, excess: Excess) => void

  constructor(tell: (member: M, excess: Excess) => void) {
    this.#tell = tell
  }

  count(member: M, reason: Excess['reason'], bytes: number, nowMs: number): void {
    const key = keyOf(member, reason)
    const count = this.#counts.get(key) ?? { datagrams: 0, bytes: 0, toldMs: -Infinity }
    const oldest = this.#counts.keys().next()
    if (this.#counts.size >= REMEMBERED && oldest.done !== true) this.#counts.delete(oldest.value)
    this.#counts.set(key, count)
    count.datagrams += 1
    count.bytes += bytes
    if (nowMs - count.toldMs < TELL_MS) return
    const { datagrams, bytes: sum } = count
    Object.assign(count, { datagrams: 0, bytes: 0, toldMs: nowMs })
    this.#tell(member, { reason, datagrams, bytes: sum })
  }
}

function keyOf(member: Named, reason: Excess['reason']): string {
  return `${member.organization} ${member.address} ${reason}`
}
