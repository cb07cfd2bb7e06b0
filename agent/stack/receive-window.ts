/** Receive window: as large as what the reader takes in a round trip needs, and no larger. */
import { STACK_LIMITS } from './limits.ts'

export interface ReceiveWindow {
  /** Bytes. */
  readonly size: number
  /** Milliseconds; when the round began in which use is counted. */
  readonly roundMs: number
  /** Bytes taken by the reader since. */
  readonly used: number
}

export function newReceiveWindow(size: number, nowMs: number): ReceiveWindow {
  return { size, roundMs: nowMs, used: 0 }
}

/** Of a window, what is used in a round trip at most. A sender that searches doubles what it sends in a round trip, and
 *  as much again waits behind a segment that is lost, until it is sent again. */
const USED_PART = 1 / 4

/** After the reader took `bytes`. A window of which more is used bounds the sender: it doubles, as far as `spare` bytes
 *  of the memory of all windows go. */
export function windowAfter(
  window: ReceiveWindow,
  { bytes, roundTripMs, spare }: { bytes: number; roundTripMs: number; spare: number },
  nowMs: number,
): ReceiveWindow {
  const used = window.used + bytes
  if (used >= window.size * USED_PART && nowMs - window.roundMs <= Math.max(1, roundTripMs)) {
    const more = Math.min(window.size, spare, STACK_LIMITS.window - window.size)
    return { size: window.size + Math.max(0, more), roundMs: nowMs, used: 0 }
  }
  if (nowMs - window.roundMs > Math.max(1, roundTripMs))
    return { ...window, roundMs: nowMs, used: 0 }
  return { ...window, used }
}
