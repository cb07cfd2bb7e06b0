/** STUN servers: when each is asked. At the start and after a change until it answers, then at intervals. */
import { type Endpoint, formatEndpoint } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'

/** Until the first repetition of a request without an answer, milliseconds, doubling (RFC 8489 §6.2.1
 *  begins at 500; a first ping waits for this). */
const FIRST_RETRY_MS = 100
/** The longest wait for a server that does not answer, or that is not listed yet. Milliseconds. */
const LAST_RETRY_MS = 20_000
/** Many peers lose their paths at once, and each asks. Milliseconds. */
const AGAIN_MS = 1000

/** Requests in vain, after which a server is mute: a second and a half after the first. */
const MUTE_TRIES = 5

export interface ServerStatus {
  readonly server: Endpoint
  /** No answer to several requests in a row. */
  readonly isMute: boolean
  /** Undefined: never. Milliseconds. */
  readonly answeredMs: number | undefined
  readonly roundTripMs: number | undefined
}

export interface Asking {
  answered(server: Endpoint, roundTripMs: number): void
  /** Of those that are listed now. */
  status(): readonly ServerStatus[]
  /** Asks all at once: the network changed, or there are new servers. */
  restart(): void
  /** Asks those that are due: new ones are. */
  askDue(): void
  /** Asks all but those that were asked in the last second. */
  askAgain(): void
  close(): void
}

interface Asked {
  readonly askedMs: number
  /** Requests since the last answer. */
  readonly tries: number
}

/** The last of each server. */
type Answers = Map<string, Pick<ServerStatus, 'answeredMs' | 'roundTripMs'>>

export function startAsking(options: {
  servers(): readonly Endpoint[]
  /** Between requests to a server that answers. Milliseconds. */
  refreshMs(): number
  ask(server: Endpoint): void
  onAsked(servers: readonly ServerStatus[]): void
  readonly clock: Clock
}): Asking {
  const { clock } = options
  const asked = new Map<string, Asked>()
  const answers: Answers = new Map()
  let timer: Cancellable | undefined
  const status = (): readonly ServerStatus[] =>
    options.servers().map((server) => statusOf(server, asked, answers))
  const askDue = (): void => {
    timer?.cancel()
    const nowMs = clock.monotonicMs()
    const servers = options.servers()
    forgetOthers(servers, asked, answers)
    const dueMs = (server: Endpoint): number =>
      dueMsOf(asked.get(formatEndpoint(server)), options.refreshMs())
    for (const server of servers.filter((one) => dueMs(one) <= nowMs)) {
      const tries = (asked.get(formatEndpoint(server))?.tries ?? 0) + 1
      asked.set(formatEndpoint(server), { askedMs: nowMs, tries })
      options.ask(server)
    }
    const nextMs = Math.min(nowMs + LAST_RETRY_MS, ...servers.map(dueMs))
    timer = clock.after(Math.max(1, nextMs - nowMs), askDue)
    options.onAsked(status())
  }
  askDue()
  return {
    answered: (server, roundTripMs) => {
      const name = formatEndpoint(server)
      const last = asked.get(name)
      if (last === undefined) return
      asked.set(name, { ...last, tries: 0 })
      answers.set(name, { answeredMs: clock.monotonicMs(), roundTripMs })
    },
    status,
    restart: () => {
      asked.clear()
      askDue()
    },
    askDue,
    askAgain: () => {
      const newestMs = clock.monotonicMs() - AGAIN_MS
      for (const [name, { askedMs }] of asked) if (askedMs <= newestMs) asked.delete(name)
      askDue()
    },
    close: () => timer?.cancel(),
  }
}

function forgetOthers(
  servers: readonly Endpoint[],
  ...known: readonly { keys(): Iterable<string>; delete(name: string): unknown }[]
): void {
  const names = new Set(servers.map(formatEndpoint))
  for (const each of known) for (const name of each.keys()) if (!names.has(name)) each.delete(name)
}

function dueMsOf(last: Asked | undefined, refreshMs: number): number {
  if (last === undefined) return -Infinity
  if (last.tries === 0) return last.askedMs + refreshMs
  return last.askedMs + Math.min(FIRST_RETRY_MS * 2 ** (last.tries - 1), LAST_RETRY_MS)
}

function statusOf(
  server: Endpoint,
  asked: ReadonlyMap<string, Asked>,
  answers: Answers,
): ServerStatus {
  const name = formatEndpoint(server)
  const { answeredMs, roundTripMs } = answers.get(name) ?? {}
  return {
    ...{ server, answeredMs, roundTripMs },
    isMute: (asked.get(name)?.tries ?? 0) >= MUTE_TRIES,
  }
}
