/** Renewal: a fresh certificate before the old one ends, by proof of the device key alone. */
import { currentManifest, memberOf } from '../protocol/belief.ts'
import type { Clock } from '../protocol/clock.ts'
import { openEnvelope } from '../protocol/envelope.ts'
import { deviceIdOf } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Seconds } from '../protocol/time.ts'
import { explain } from './errors.ts'
import type { Knowledge } from './knowledge.ts'
import {
  type Applicant,
  type Issued,
  type RegistryClient,
  RegistryRefusal,
} from './registry-client.ts'

/** Seconds between attempts: at first, and at most. The registry may be away for days. */
const RETRY_LEAST = 5
const RETRY_MOST = 300

/** Seconds between questions while an approver has not said yes: the registry passes the word on. */
const WAIT_FOR_APPROVAL = 30

/** What the last talk with the registry came to. */
export interface RenewalStatus {
  readonly reachable: boolean
  /** Set where the registry refused: the device was removed, or its clock is off. */
  readonly refusal?: string
  /** The refusal's, for whoever acts on it. */
  readonly code?: string
}

/** When half of a certificate's life is over (SPEC §4.2). */
export function renewalDue(
  certificate: { notBefore: Seconds; notAfter: Seconds } | undefined,
): number {
  if (certificate === undefined) return 0
  return certificate.notBefore + (certificate.notAfter - certificate.notBefore) / 2
}

/** Renews at half life and on `now()`, for ever; failures cost nothing but a log line. A timer stands still while
 *  the host sleeps, and wall time may be set: whichever comes first, timer or moment, is taken. */
export class Renewal implements Disposable {
  readonly #client: Pick<RegistryClient, 'renew'>
  readonly #knowledge: Knowledge
  readonly #applicant: Applicant
  readonly #clock: Clock
  readonly #log: Log
  readonly #onIssued: (issued: Issued) => void
  #status: RenewalStatus = { reachable: false }
  #retry = RETRY_LEAST
  /** The registry gave the certificate that was known: another one would wait for an approver. */
  #isWaiting = false
  #next: { cancel(): void } | undefined
  /** Wall time of the next attempt. */
  #due = Number.POSITIVE_INFINITY
  #asking: Promise<void> | undefined
  #ended = false

  constructor(
    client: Pick<RegistryClient, 'renew'>,
    knowledge: Knowledge,
    applicant: Applicant,
    onIssued: (issued: Issued) => void,
    seams: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#client = client
    this.#knowledge = knowledge
    this.#applicant = applicant
    this.#onIssued = onIssued
    this.#clock = seams.clock
    this.#log = seams.log
  }

  status(): RenewalStatus {
    return this.#status
  }

  /** Asks now; resolves when answered or failed, never rejects. While it asks already, that is awaited. */
  now(): Promise<void> {
    this.#next?.cancel()
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** Asks where the moment has come: called often, for the host may have slept. */
  tick(): void {
    if (!this.#ended && this.#clock.now() >= this.#due) void this.now()
  }

  /** A registry that was out of reach is asked soon: it may be in reach again. */
  networkChanged(): void {
    this.tick()
    if (this.#status.reachable || this.#asking !== undefined) return
    this.#retry = RETRY_LEAST
    if (this.#clock.now() + RETRY_LEAST < this.#due) this.#schedule()
  }

  async #ask(): Promise<void> {
    try {
      const before = this.#certificates()
      const issued = await this.#client.renew(this.#applicant, this.#knowledge.state().organization)
      for (const bytes of issued.envelopes) this.#knowledge.learn(openEnvelope(bytes))
      this.#isWaiting = this.#certificates() === before
      this.#status = { reachable: true }
      this.#retry = RETRY_LEAST
      this.#onIssued(issued)
      this.#log('info', 'certificate.renewed', {
        manifest: currentManifest(this.#knowledge.state(), this.#clock.now())?.body.sequence,
      })
    } catch (error) {
      this.#failed(error)
    }
    this.#schedule()
  }

  /** Ids of this device's own, believed or not. */
  #certificates(): string {
    const device = deviceIdOf(this.#applicant.deviceKey.publicKey)
    const own = [...this.#knowledge.state().memberships.values()]
    return own.flatMap(({ id, body }) => (body.device === device ? [id] : [])).join()
  }

  #failed(error: unknown): void {
    const reason = explain(error)
    const isRefusal = error instanceof RegistryRefusal
    const status: RenewalStatus = isRefusal
      ? { reachable: true, refusal: reason, code: error.code }
      : { reachable: false }
    const isNews =
      status.reachable !== this.#status.reachable || status.refusal !== this.#status.refusal
    this.#log(isNews ? 'warn' : 'debug', 'certificate.renewal-failed', {
      reason,
      retryInSeconds: this.#retry,
    })
    this.#status = status
  }

  #schedule(): void {
    if (this.#ended) return
    const own = memberOf(
      this.#knowledge.state(),
      deviceIdOf(this.#applicant.deviceKey.publicKey),
      this.#clock.now(),
    )
    const untilDue = this.#isWaiting
      ? WAIT_FOR_APPROVAL
      : renewalDue(own?.certificate) - this.#clock.now()
    const wait =
      this.#status.reachable && this.#status.refusal === undefined ? untilDue : this.#retry
    this.#retry = Math.min(this.#retry * 2, RETRY_MOST)
    // A day at most: timers of weeks overflow, and a clock may be set meanwhile.
    const delay = Math.min(Math.max(wait, RETRY_LEAST), 86_400)
    this.#due = this.#clock.now() + delay
    this.#next?.cancel()
    this.#next = this.#clock.after(delay * 1000, () => void this.now())
  }

  [Symbol.dispose](): void {
    this.#ended = true
    this.#next?.cancel()
  }
}
