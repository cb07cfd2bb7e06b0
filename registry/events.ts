/** The event stream of an organization: its audit log as it grows, told to members. What was missed is read
 *  from the log, so nothing is buffered for anybody. */
import type { Clock } from '../protocol/clock.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import { AUDIT_ENTRY, auditHead, auditLines, watchAudits } from './audit.ts'
import type { UserId } from './organizations.ts'
import { ProblemError } from './problem.ts'
import type { Database } from './store/database.ts'

/** What is told of an entry: not from where, nor from what to what (that is for those who may read the log). */
export interface ChangeEvent {
  readonly sequence: number
  readonly at: number
  readonly action: string
  readonly subject?: string
}

export interface EventSubscription {
  readonly organization: OrganizationId
  readonly subscriber: UserId
  /** The last that was heard; absent: only what happens from now on. */
  readonly after?: number
  /** Asked at each heartbeat, and whenever something changed in the organization or of the subscriber. */
  isAllowed(): Promise<boolean>
  /** Resolves when the client has taken it. */
  send(event: ChangeEvent): Promise<void>
  heartbeat(): Promise<void>
  readonly ended: AbortSignal
}

/** Milliseconds between signs of life, well below what proxies cut silent connections at. */
export const HEARTBEAT_MS = 15_000
/** Streams of one subscriber, and of the process. */
const STREAMS_PER_SUBSCRIBER = 16
const STREAMS = 2_000
/** Entries read at once. */
const AT_ONCE = 256

export interface Events {
  /** Resolves when it is over. Throws a 429 problem where there are too many already. */
  open(subscription: EventSubscription): Promise<void>
  /** Streams that are open. */
  count(): number
}

type Parts = { readonly database: Database; readonly clock: Pick<Clock, 'every'> }

export function openEvents(parts: Parts): Events {
  const open = new Set<Stream>()
  let watch: { cancel(): void } | undefined
  const changed = (logs: readonly string[]) => {
    const isAny = logs.length === 0
    for (const stream of open) {
      if (isAny || logs.some((log) => stream.isAbout(log))) stream.wake('change')
    }
  }
  return {
    count: () => open.size,
    async open(subscription) {
      const { subscriber, organization } = subscription
      const own = [...open].filter((each) => each.subscriber === subscriber).length
      if (own >= STREAMS_PER_SUBSCRIBER || open.size >= STREAMS) {
        throw new ProblemError(
          429,
          'too-many-streams',
          `you have ${own} event streams open, at most ${STREAMS_PER_SUBSCRIBER} are (${STREAMS} of all users)`,
        )
      }
      const isAbout = (log: string) => log === organization || log === subscriber
      const stream = { ...wakeable(subscription.ended), subscriber, isAbout }
      open.add(stream)
      watch ??= watchAudits(parts.database, changed)
      try {
        await follow(parts, subscription, stream)
      } finally {
        open.delete(stream)
        if (open.size === 0) {
          watch?.cancel()
          watch = undefined
        }
      }
    },
  }
}

interface Stream extends ReturnType<typeof wakeable> {
  readonly subscriber: UserId
  isAbout(log: string): boolean
}

async function follow(
  { database, clock }: Parts,
  subscription: EventSubscription,
  { wake, next }: Stream,
): Promise<void> {
  const { sequence } = await auditHead(database, subscription.organization)
  // An id from beyond the end is of a store that was rolled back: there is nothing to go on after.
  let last = Math.min(subscription.after ?? sequence, sequence)
  const timer = clock.every(HEARTBEAT_MS, () => wake('heartbeat'))
  // At once: it tells the client that it is heard.
  wake('heartbeat')
  try {
    for (let why = await next(); why !== undefined; why = await next()) {
      if (!(await subscription.isAllowed())) return
      last = await tell(database, subscription, last)
      if (why === 'heartbeat') await subscription.heartbeat()
    }
  } finally {
    timer.cancel()
  }
}

/** Tells what came after `last`; the new last. */
async function tell(
  database: Database,
  { organization, isAllowed, send, ended }: EventSubscription,
  last: number,
): Promise<number> {
  let told = last
  for (;;) {
    let count = 0
    for await (const line of auditLines(database, organization, { after: told, limit: AT_ONCE })) {
      if (ended.aborted) return told
      const { sequence, at, action, subject } = AUDIT_ENTRY.parse(JSON.parse(line))
      await send({ sequence, at, action, ...(subject !== undefined && { subject }) })
      told = sequence
      count++
    }
    if (count < AT_ONCE || !(await isAllowed())) return told
  }
}

type Wake = 'change' | 'heartbeat'

/** Remembers that something happened while nobody waited; a heartbeat outdoes a change. */
function wakeable(ended: AbortSignal) {
  let waiting: (() => void) | undefined
  let reason: Wake | undefined
  const wake = (why: Wake) => {
    reason = reason === 'heartbeat' ? reason : why
    waiting?.()
  }
  ended.addEventListener('abort', () => waiting?.(), { once: true })
  return {
    wake,
    /** Undefined when it has ended. */
    async next(): Promise<Wake | undefined> {
      while (reason === undefined && !ended.aborted) {
        await new Promise<void>((resolve) => {
          waiting = resolve
        })
        waiting = undefined
      }
      const why = reason
      reason = undefined
      return ended.aborted ? undefined : why
    },
  }
}
