/** Liveness: a connection whose other end has gone silent is closed, one that is busy is not. */
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { type Link, type Links, nameOfLink } from './links.ts'

/** Milliseconds of silence before a ping. */
const PING_MS = 10_000
/** Milliseconds for the answer, or anything else, to come: three times as long. One ping is enough, for
 *  the connection below is reliable; yamux ends a connection on which an answer comes to no ping. */
const ANSWER_MS = 30_000
/** With many links the pause grows by so much for each: pings are most of what an idle device sends,
 *  about 250 bytes both ways, and its budget is 50 bytes a second. */
const PAUSE_PER_LINK_MS = 2500
const LONGEST_PAUSE_MS = 60_000
/** The end that was dialled waits so much longer: the other's ping serves it too. */
const SECOND_MS = 10_000
/** Milliseconds between looks. */
const LOOK_MS = 2500
/** Milliseconds in which a link must answer when the network has changed. */
const PROMPT_MS = 2000
/** Milliseconds of silence after which a link may have been cut off without anybody's notice. */
const CUT_MS = 10_000

export interface Liveness {
  /** The network has changed: whoever does not answer now is gone. */
  check(): void
  /** The way to the peer was lost, or is found again: a link to it that was silent for a while has to answer now. TCP that
   *  was cut off tries again only after as long as the cut has lasted (RFC 6298 §5.5); a new link is up in a moment. */
  checkSilent(peer: string): void
  stop(): void
}

/** What we use of libp2p's insides. */
interface Insides {
  /** yamux's own ping (its specification, type 2): 12 bytes, no stream. */
  readonly muxer: { ping(): Promise<number> }
  readonly maConn: EventTarget
}

interface Pulse {
  heardAt: number
  isPinging: boolean
}

/** Milliseconds of silence after which a link is pinged. */
export function pauseOf(link: Link, links: number): number {
  const own = link.connection.direction === 'outbound' ? 0 : SECOND_MS
  if (link.who.kind === 'registry') return PING_MS + own
  return own + Math.min(LONGEST_PAUSE_MS, Math.max(PING_MS, links * PAUSE_PER_LINK_MS))
}

export function startLiveness(links: Links, clock: Clock, log: Log): Liveness {
  const pulses = new Map<string, Pulse>()
  links.onUp(({ connection }) => {
    const pulse = { heardAt: clock.monotonicMs(), isPinging: false }
    pulses.set(connection.id, pulse)
    insidesOf(connection).maConn.addEventListener('message', () => {
      pulse.heardAt = clock.monotonicMs()
    })
  })
  links.onDown(({ connection }) => pulses.delete(connection.id))
  const examine = async (link: Link, pulse: Pulse, timeoutMs: number) => {
    const began = clock.monotonicMs()
    pulse.isPinging = true
    const isAnswered = await answers(link, timeoutMs, clock)
    pulse.isPinging = false
    if (isAnswered || pulse.heardAt > began || links.of(link.connection) === undefined) return
    log('info', 'mesh.connection-silent', { name: nameOfLink(link), peer: link.peer })
    abortConnection(link.connection, new Error('no answer to pings'))
  }
  const look = (): void => {
    const all = links.all()
    for (const link of all) {
      const pulse = pulses.get(link.connection.id)
      if (pulse === undefined || pulse.isPinging) continue
      const silence = clock.monotonicMs() - pulse.heardAt
      if (silence >= pauseOf(link, all.length)) void examine(link, pulse, ANSWER_MS)
    }
  }
  const checkAll = (suspects: readonly Link[], leastMs: number): void => {
    for (const link of suspects) {
      const pulse = pulses.get(link.connection.id)
      if (pulse === undefined || clock.monotonicMs() - pulse.heardAt < leastMs) continue
      void examine(link, pulse, PROMPT_MS)
    }
  }
  const timer = clock.every(LOOK_MS, look)
  return {
    check: () => checkAll(links.all(), 0),
    checkSilent: (peer) => checkAll(links.to(peer), CUT_MS),
    stop: () => timer.cancel(),
  }
}

async function answers({ connection }: Link, timeoutMs: number, clock: Clock): Promise<boolean> {
  const late = new AbortController()
  const answered = insidesOf(connection)
    .muxer.ping()
    .then(
      () => true,
      () => false,
    )
  const timeout = clock.sleep(timeoutMs, late.signal).then(
    () => false,
    () => false,
  )
  const isAnswered = await Promise.race([answered, timeout])
  late.abort()
  return isAnswered
}

function insidesOf(connection: Link['connection']): Insides {
  return connection as unknown as Insides
}
