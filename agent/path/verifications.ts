/** Verifications: whose checks are worth a look at their integrity now. Nobody may use up the work that this device
 *  does for others: not strangers who forge, nor a member that floods (SPEC §10.8). */
import type { DeviceId } from '../../protocol/keys.ts'
import { type Bucket, newBucket } from './bucket.ts'
import { sourceOf } from './check-budget.ts'
import type { CheckPath } from './received.ts'

/** Integrities looked at per second of sources that never answered: 1 % of a core, and far more than peers send;
 *  and as many of answers, each of which somebody was asked for. */
const VERIFICATIONS = 2000
/** Checks a second that one member has answered at one address, or by relays: twice what it sends (timing.ts). */
const CHECKS = 100
/** Members' addresses remembered; the one that was quiet for longest goes first. */
const REMEMBERED = 4096

interface Source {
  /** Authentic checks from there. */
  readonly checks: Bucket
  /** Looks that strangers can't use up; undefined before a check sent there was answered. */
  reserve: Bucket | undefined
  /** Until when all are dropped unread, for too many authentic ones came. */
  floodedUntilMs: number
}

export class Verifications {
  readonly #strangers = newBucket(VERIFICATIONS, VERIFICATIONS)
  readonly #answers = newBucket(VERIFICATIONS, VERIFICATIONS)
  readonly #sources = new Map<string, Source>()

  mayAnswer(nowMs: number): boolean {
    return this.#answers.take(nowMs)
  }

  /** Is a check that names this member to be looked at? `flooding`: it sent too many authentic ones. */
  mayAsk(device: DeviceId, from: CheckPath, nowMs: number): 'yes' | 'no' | 'flooding' {
    const source = this.#sources.get(nameOf(device, from))
    if (source !== undefined && source.floodedUntilMs > nowMs) return 'flooding'
    if (source?.reserve?.take(nowMs) === true) return 'yes'
    return this.#strangers.take(nowMs) ? 'yes' : 'no'
  }

  /** The check was authentic. False: it is one too many. */
  asked(device: DeviceId, from: CheckPath, nowMs: number): boolean {
    const source = this.#sourceOf(device, from)
    if (source.checks.take(nowMs)) return true
    source.floodedUntilMs = nowMs + 1000 / CHECKS
    return false
  }

  /** A check that was sent there came back answered. */
  answered(device: DeviceId, from: CheckPath): void {
    const source = this.#sourceOf(device, from)
    source.reserve ??= newBucket(CHECKS, CHECKS)
  }

  #sourceOf(device: DeviceId, from: CheckPath): Source {
    const name = nameOf(device, from)
    const source = this.#sources.get(name) ?? {
      checks: newBucket(CHECKS, CHECKS),
      reserve: undefined,
      floodedUntilMs: -Infinity,
    }
    this.#sources.delete(name)
    const oldest = this.#sources.keys().next()
    if (this.#sources.size >= REMEMBERED && oldest.done !== true) this.#sources.delete(oldest.value)
    this.#sources.set(name, source)
    return source
  }
}

/** All relays are one: by which a member floods does not matter. */
function nameOf(device: DeviceId, from: CheckPath): string {
  return `${device} ${typeof from === 'string' ? 'relay' : sourceOf(from.address)}`
}
