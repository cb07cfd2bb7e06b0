/** Knowledge: the organization's state in this process, kept on disk and told to whoever listens. */

import { setImmediate as breath } from 'node:timers/promises'
import { equal } from '../crypto/bytes.ts'
import type { Clock } from '../protocol/clock.ts'
import { type Envelope, envelopeId, openEnvelope, openVerified } from '../protocol/envelope.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import { CLOCK_TOLERANCE } from '../protocol/limits.ts'
import type { Log } from '../protocol/log.ts'
import {
  apply,
  applyAll,
  emptyState,
  envelopesOf,
  type OrganizationState,
  prune,
  type Verdict,
} from '../protocol/state.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { explain } from './errors.ts'
import type { StateDirectory } from './state-directory.ts'

/** Milliseconds changes wait to be written together: an fsync costs about one. */
const WRITE_DELAY_MS = 50

export interface Knowledge extends AsyncDisposable {
  state(): OrganizationState
  /** Applies one envelope; listeners are told when belief may have changed. */
  learn(envelope: Envelope): Verdict
  /** Takes over a state that grew from this one by `apply` elsewhere (a hello). */
  adopt(state: OrganizationState): void
  onChange(listener: () => void): void
  /** When the newest signed statement of others was made; 0 if there is none. Shows a clock that is off. */
  newestStatement(): Seconds
  /** Resolves when all that is known is on disk. */
  flush(): Promise<void>
}

/** Loads what the directory holds. Envelopes that do not open any more are dropped with one log line. */
export async function openKnowledge(
  organization: OrganizationId,
  directory: StateDirectory,
  clock: Clock,
  log: Log,
): Promise<Knowledge> {
  const loaded = await load(organization, directory, clock, log)
  const listeners: (() => void)[] = []
  let { state, newest: evidence } = loaded
  const write = writer(
    directory,
    loaded,
    () => state,
    () => isClockPlausible(evidence, clock.now()),
    clock,
    log,
  )
  const change = (next: OrganizationState): void => {
    if (next === state) return
    state = next
    write.soon()
    for (const listener of listeners) listener()
  }
  if (!loaded.isSealed) write.soon()
  const pruning = clock.every(60_000, () => change(prune(state, clock.now())))
  return {
    state: () => state,
    newestStatement: () => evidence,
    learn: (envelope) => {
      const verdict = apply(state, envelope, clock.now())
      if (verdict.ok) evidence = newestOf(evidence, envelope, directory)
      change(verdict.state)
      return verdict
    },
    adopt: (other) => {
      change(applyAll(state, envelopesOf(other), clock.now()).state)
    },
    onChange: (listener) => void listeners.push(listener),
    flush: write.now,
    [Symbol.asyncDispose]: async () => {
      pruning.cancel()
      await write.now()
    },
  }
}

/** Days without any signed statement that are still taken for absence, not for a wrong clock. */
const LONGEST_ABSENCE = 60 * 86_400

/** A clock that lies before what others signed, or far behind it all, must not make us forget. */
export function isClockPlausible(newestStatement: Seconds, now: Seconds): boolean {
  return newestStatement <= now + CLOCK_TOLERANCE && now - newestStatement < LONGEST_ABSENCE
}

/** What the device itself said proves nothing of its clock. */
function newestOf(
  newest: Seconds,
  envelope: Envelope,
  { deviceKey }: Pick<StateDirectory, 'deviceKey'>,
): Seconds {
  const isOwn = equal(envelope.signerKey, deviceKey.publicKey)
  return isOwn || statedAt(envelope) <= newest ? newest : statedAt(envelope)
}

function statedAt({ body }: Envelope): Seconds {
  return 'issuedAt' in body ? body.issuedAt : body.notBefore
}

function rankOf({ kind }: Envelope): number {
  const at = VOUCHING.indexOf(kind)
  return at === -1 ? VOUCHING.length : at
}
const VOUCHING: readonly Envelope['kind'][] = [
  'issuer-certificate',
  'manifest',
  'approval',
  'membership-certificate',
]

interface Loaded {
  readonly state: OrganizationState
  /** Ids of what is on disk; and of what of it is no envelope, or not signed. */
  readonly stored: Set<string>
  readonly unreadable: ReadonlySet<string>
  /** All of that was verified by an earlier run. */
  readonly isSealed: boolean
  readonly newest: Seconds
}

async function load(
  organization: OrganizationId,
  directory: StateDirectory,
  clock: Clock,
  log: Log,
): Promise<Loaded> {
  let newest = seconds(0)
  const unreadable = new Set<string>()
  const opened: Envelope[] = []
  const { envelopes, areVerified } = await directory.envelopes()
  const stored = new Set(envelopes.map(envelopeId))
  const isSealed = areVerified(stored)
  const open = isSealed ? openVerified : openEnvelope
  for (const bytes of envelopes) {
    // The tunnel is being started meanwhile: what the host answers is taken up between two of them.
    await breath()
    try {
      opened.push(open(bytes))
    } catch (error) {
      unreadable.add(envelopeId(bytes))
      log('debug', 'state.envelope-unreadable', { reason: explain(error) })
    }
  }
  // What vouches for others first: of what nobody vouches for only so much is held.
  const sorted = opened.toSorted((a, b) => rankOf(a) - rankOf(b))
  const { state } = applyAll(emptyState(organization), sorted, clock.now())
  for (const envelope of sorted) newest = newestOf(newest, envelope, directory)
  if (unreadable.size > 0) log('warn', 'state.envelopes-dropped', { count: unreadable.size })
  return { state, stored, unreadable, isSealed, newest }
}

interface Writer {
  soon(): void
  now(): Promise<void>
}

/** One write at a time, each bringing the disk to the newest state. Nothing is removed from disk while
 *  the clock is implausible: all would seem to have ended. */
function writer(
  directory: StateDirectory,
  { stored, unreadable, isSealed: wasSealed }: Loaded,
  state: () => OrganizationState,
  mayForget: () => boolean,
  clock: Clock,
  log: Log,
): Writer {
  let writing: Promise<void> = Promise.resolve()
  let waiting = false
  let isSealed = wasSealed
  const bring = async (): Promise<void> => {
    waiting = false
    const wanted = new Map(envelopesOf(state()).map(({ id, bytes }) => [id, bytes]))
    const added = new Map([...wanted].filter(([id]) => !stored.has(id)))
    const removed = mayForget() ? [...stored].filter((id) => !wanted.has(id)) : []
    if (added.size + removed.length === 0 && isSealed) return
    const left = stored.difference(new Set(removed)).difference(unreadable)
    await directory.keep(added, removed, left.union(wanted))
    isSealed = true
    for (const id of added.keys()) stored.add(id)
    for (const id of removed) stored.delete(id)
  }
  const now = (): Promise<void> => {
    writing = writing.then(bring).catch((error: unknown) => {
      log('error', 'state.write-failed', { reason: explain(error), hint: 'is the disk full?' })
    })
    return writing
  }
  return {
    now,
    soon: () => {
      if (waiting) return
      waiting = true
      clock.after(WRITE_DELAY_MS, () => void now())
    },
  }
}
