/** Pings inside the laboratory and what they tell: losses, times, the longest silence. */
import type { Namespace } from './namespace.ts'

export interface Pings {
  readonly sent: number
  readonly received: number
  /** Milliseconds, in the order of arrival. */
  readonly timesMs: readonly number[]
  /** Longest time without an answer while echoes were sent, milliseconds: between two answers, before the
   *  first, or from the last to the end. */
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
  return pingsOf(stdout, count, intervalMs)
}

/** Pings until it is disposed of, so that the path stays in use. */
export function keepPinging(
  from: Namespace,
  address: string,
  { folder, intervalMs = 200 }: { readonly folder: string; readonly intervalMs?: number },
): AsyncDisposable {
  const words = ['-n', '-i', String(intervalMs / 1000), address]
  const running = from.spawn(`${folder}/ping.log`, 'ping', words)
  return { [Symbol.asyncDispose]: () => running.stop('SIGINT') }
}

/** What ping(8) printed with `-D`. */
function pingsOf(output: string, count: number, intervalMs: number): Pings {
  const answers = [...output.matchAll(/^\[(\d+\.\d+)\] .*icmp_seq=(\d+) .*time=([\d.]+) ms/gm)].map(
    ([, at, sequence, time]) => ({
      atMs: Number(at) * 1000,
      sequence: Number(sequence),
      timeMs: Number(time),
    }),
  )
  const silences = answers.slice(1).map(({ atMs }, index) => atMs - (answers[index]?.atMs ?? atMs))
  const sequences = answers.map(({ sequence }) => sequence)
  const sent = Number(/(\d+) packets transmitted/.exec(output)?.[1] ?? count)
  // Echoes are numbered from 1. What was lost at either end was silence too.
  const unansweredFirst = Math.min(sent + 1, ...sequences) - 1
  const unansweredLast = sent - Math.max(0, ...sequences)
  return {
    sent,
    received: answers.length,
    timesMs: answers.map(({ timeMs }) => timeMs),
    longestSilenceMs: Math.max(
      unansweredFirst * intervalMs,
      unansweredLast * intervalMs,
      ...silences,
    ),
  }
}

/** Milliseconds until the first echo is answered. Each try is a ping of its own, given up after 250 ms, and after 2 s
 *  when 10 s have gone, for a machine that is that busy: ping chooses its source address once, so one that began
 *  before the tunnel was up stays unanswered. Throws after `timeoutMs`. */
export async function untilAnswered(
  from: Namespace,
  address: string,
  timeoutMs = 30_000,
): Promise<number> {
  const started = performance.now()
  while (performance.now() - started < timeoutMs) {
    const patience = performance.now() - started < 10_000 ? '0.25' : '2'
    const { status } = await from.attempt('ping', '-n', '-c', '1', '-W', patience, address)
    if (status === 0) return performance.now() - started
  }
  throw new Error(`${address} did not answer ${from.name} within ${timeoutMs} ms`)
}

/** Milliseconds until the first of many echoes is answered: one every `everyMs`, each a ping of its own, so that
 *  no answer is told later than it came. Throws after `timeoutMs`. */
export async function firstAnswer(
  from: Namespace,
  address: string,
  { everyMs = 50, timeoutMs = 30_000 } = {},
): Promise<number> {
  const started = performance.now()
  const answered = Promise.withResolvers<number>()
  const send = async (): Promise<void> => {
    const { status } = await from.attempt('ping', '-n', '-c', '1', '-W', '1', address)
    if (status === 0) answered.resolve(performance.now() - started)
  }
  const sending = setInterval(() => void send(), everyMs)
  const failing = setTimeout(
    () => answered.reject(new Error(`${address} did not answer ${from.name}`)),
    timeoutMs,
  )
  void send()
  try {
    return await answered.promise
  } finally {
    clearInterval(sending)
    clearTimeout(failing)
  }
}
