/** Timers of one peer (whitepaper §6): named moments, and which one is due next. Pure; milliseconds. */

export type TimerName =
  | 'retransmit-handshake'
  | 'send-keepalive'
  | 'new-handshake'
  | 'persistent-keepalive'
  | 'zero-keys'

const NAMES: readonly TimerName[] = [
  'retransmit-handshake',
  'send-keepalive',
  'new-handshake',
  'persistent-keepalive',
  'zero-keys',
]
const OFF = Number.POSITIVE_INFINITY

export class Timers {
  readonly #at: Record<TimerName, number> = {
    'retransmit-handshake': OFF,
    'send-keepalive': OFF,
    'new-handshake': OFF,
    'persistent-keepalive': OFF,
    'zero-keys': OFF,
  }

  set(name: TimerName, atMs: number): void {
    this.#at[name] = atMs
  }

  clear(name: TimerName): void {
    this.#at[name] = OFF
  }

  clearAll(): void {
    for (const name of NAMES) this.clear(name)
  }

  isSet(name: TimerName): boolean {
    return this.#at[name] !== OFF
  }

  /** Infinity where none is set. */
  nextMs(): number {
    const at = this.#at
    return Math.min(
      at['retransmit-handshake'],
      at['send-keepalive'],
      at['new-handshake'],
      at['persistent-keepalive'],
      at['zero-keys'],
    )
  }

  /** One that is due, which is off now. */
  takeDue(nowMs: number): TimerName | undefined {
    const due = NAMES.find((name) => this.#at[name] <= nowMs)
    if (due !== undefined) this.clear(due)
    return due
  }
}
