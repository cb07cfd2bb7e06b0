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

export function startAsking(options: {
  servers(): readonly Endpoint[]
  /** Between requests to a server that answers. Milliseconds. */
  refreshMs(): number
  ask(server: Endpoint): void
  onAsked(): void
  readonly clock: Clock
}): Asking {
  const { clock } = options
  const asked = new Map<string, Asked>()
  const answers = new Map<string, { readonly answeredMs: number; readonly roundTripMs: number }>()
  let timer: Cancellable | undefined

  const dueMs = (server: Endpoint): number => {
    const last = asked.get(formatEndpoint(server))
    if (last === undefined) return -Infinity
    if (last.tries === 0) return last.askedMs + options.refreshMs()
    return last.askedMs + Math.min(FIRST_RETRY_MS * 2 ** (last.tries - 1), LAST_RETRY_MS)
  }
  const askDue = (): void => {
    timer?.cancel()
    const nowMs = clock.monotonicMs()
    const servers = options.servers()
    const names = new Set(servers.map(formatEndpoint))
    for (const name of answers.keys()) if (!names.has(name)) answers.delete(name)
    for (const server of servers.filter((one) => dueMs(one) <= nowMs)) {
      const tries = (asked.get(formatEndpoint(server))?.tries ?? 0) + 1
      asked.set(formatEndpoint(server), { askedMs: nowMs, tries })
      options.ask(server)
    }
    const nextMs = Math.min(nowMs + LAST_RETRY_MS, ...servers.map(dueMs))
    timer = clock.after(Math.max(1, nextMs - nowMs), askDue)
    options.onAsked()
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
    status: () =>
      options.servers().map((server) => {
        const name = formatEndpoint(server)
        const { answeredMs, roundTripMs } = answers.get(name) ?? {}
        const isMute = (asked.get(name)?.tries ?? 0) >= MUTE_TRIES
        return { server, isMute, answeredMs, roundTripMs }
      }),
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
