/** Pings inside the laboratory and what they tell: losses, times, the longest silence. */
import type { Namespace } from './namespace.ts'

export interface Pings {
  readonly sent: number
  readonly received: number
  /** Milliseconds, in the order of arrival. */
  readonly timesMs: readonly number[]
  /** Longest time between two answers that arrived one after another, milliseconds. */
  readonly longestSilenceMs: number
}

/** `count` echoes, one every `intervalMs` (2 at least). */
export async function ping(
  from: Namespace,
  address: string,
  { count = 5, intervalMs = 200, waitMs = 2000 } = {},
): Promise<Pings> {
  const { stdout } = await from.attempt(
    'ping',
    '-n',
    '-D',
    '-c',
    String(count),
    '-i',
    String(intervalMs / 1000),
    '-W',
    String(waitMs / 1000),
    address,
  )
  const answers = [...stdout.matchAll(/^\[(\d+\.\d+)\] .*time=([\d.]+) ms/gm)]
  const arrivals = answers.map(([, at]) => Number(at) * 1000)
  const silences = arrivals.slice(1).map((at, index) => at - (arrivals[index] ?? at))
  return {
    sent: Number(/(\d+) packets transmitted/.exec(stdout)?.[1] ?? count),
    received: answers.length,
    timesMs: answers.map(([, , ms]) => Number(ms)),
    longestSilenceMs: Math.max(0, ...silences),
  }
}

/** Milliseconds until the first echo is answered. Each try is a ping of its own, given up after 250 ms:
 *  ping chooses its source address once, so one that began before the tunnel was up stays unanswered.
 *  Throws after `timeoutMs`. */
export async function untilAnswered(
  from: Namespace,
  address: string,
  timeoutMs = 30_000,
): Promise<number> {
  const started = performance.now()
  while (performance.now() - started < timeoutMs) {
    const { status } = await from.attempt('ping', '-n', '-c', '1', '-W', '0.25', address)
    if (status === 0) return performance.now() - started
  }
  throw new Error(`${address} did not answer ${from.name} within ${timeoutMs} ms`)
}
