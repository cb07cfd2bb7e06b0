/** Observed: what hosts see of an event, by pings: one echo every 10 ms, for a second before it and for a while after. */
import type { Namespace } from '../lab/namespace.ts'
import { type Pings, ping } from '../lab/ping.ts'
import { summary } from '../statistics.ts'

/** Milliseconds from one echo to the next, and before the event. */
const [INTERVAL_MS, BEFORE_MS] = [10, 1000]

export interface Observer {
  /** Of its row. */
  readonly label: string
  readonly namespace: Namespace
}

export interface Observed {
  readonly label: string
  readonly pings: Pings
}

export async function observe(
  observers: readonly Observer[],
  { target, lastsMs }: { readonly target: string; readonly lastsMs: number },
  happen: () => Promise<void>,
): Promise<readonly Observed[]> {
  const count = (BEFORE_MS + lastsMs) / INTERVAL_MS
  const pinging = observers.map(async ({ label, namespace }) => ({
    label,
    pings: await ping(namespace, target, { count, intervalMs: INTERVAL_MS }),
  }))
  await new Promise((resolve) => setTimeout(resolve, BEFORE_MS))
  await happen()
  return Promise.all(pinging)
}

export const HEADS = [
  ...['event', 'rounds', 'silence ms: median', 'p95', 'p99', 'worst'],
  ...['lost: median', 'p99', 'worst', 'in all'],
]

export function lostOf({ sent, received }: Pings): number {
  return sent - received
}

/** A row of the table. */
export function rowOf(label: string, all: readonly Pings[]): readonly string[] {
  const silence = summary(all.map(({ longestSilenceMs }) => longestSilenceMs))
  const lost = all.map(lostOf)
  const { p50, p99, max } = summary(lost)
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  return [
    ...[label, String(all.length)],
    ...[silence.p50, silence.p95, silence.p99, silence.max].map((ms) => ms.toFixed(0)),
    ...[p50, p99, max].map((each) => each.toFixed(0)),
    `${sum(lost)} of ${sum(all.map(({ sent }) => sent))}`,
  ]
}
