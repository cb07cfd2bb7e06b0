/** Relay queue: the two ends of a relay stream, apart from the stream (SPEC §7.4). Never waits: what
 *  the stream cannot take is dropped, as on any wire. */
import { concat } from '../crypto/bytes.ts'
import { parseRelayFrames, type RelayFrame } from './relay.ts'

/** A stream as the queue sees it. */
export interface RelayPipe {
  isOpen(): boolean
  /** Bytes that were sent to it and have not left. */
  waiting(): number
  /** False when it has taken enough for now; `drained` of the queue tells when it has room again. */
  send(bytes: Uint8Array): boolean
  /** Runs `task` at the end of this turn of the event loop. */
  soon(task: () => void): void
}

/** Bytes that wait at most. What is gathered in one turn of the event loop, which a socket gave at once, goes on as one
 *  write and one encryption: of 64 at a time a datagram costs sender, relay and receiver 20 µs together, not 250. */
const WAITING_BYTES = 131_072

export class RelayQueue {
  readonly #pipe: RelayPipe
  #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  #isFull = false

  constructor(pipe: RelayPipe) {
    this.#pipe = pipe
  }

  /** Takes an encoded frame, or drops it: false. */
  send(frame: Uint8Array): boolean {
    // Room for some bytes is told as soon as there is room for a few.
    const waiting = this.#gatheredBytes + this.#pipe.waiting()
    const isTooMuch = waiting + frame.length > WAITING_BYTES
    if (this.#isFull || isTooMuch || !this.#pipe.isOpen()) return false
    if (this.#gathered.length === 0) this.#pipe.soon(() => this.#flush())
    this.#gathered.push(frame)
    this.#gatheredBytes += frame.length
    return true
  }

  drained(): void {
    this.#isFull = false
  }

  #flush(): void {
    const whole = concat(...this.#gathered)
    this.#gathered = []
    this.#gatheredBytes = 0
    // What is begun is kept by the stream until there is room.
    if (this.#pipe.isOpen()) this.#isFull = !this.#pipe.send(whole)
  }
}

/** Cuts what arrives into frames, over the borders of reads. The returned function throws MalformedError
 *  where the framing is broken. */
export function relayReader(onFrame: (frame: RelayFrame) => void): (arrived: Uint8Array) => void {
  let rest: Uint8Array = new Uint8Array(0)
  return (arrived) => {
    const parsed = parseRelayFrames(rest.length === 0 ? arrived : concat(rest, arrived))
    rest = parsed.rest
    for (const frame of parsed.frames) onFrame(frame)
  }
}
