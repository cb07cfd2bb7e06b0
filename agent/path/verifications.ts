/** Verifications: whose checks are worth a look at their integrity now. Nobody may use up the work that this device
 *  does for others: not strangers who forge, nor a member that floods (SPEC §10.9). */
import type { DeviceId } from '../../protocol/keys.ts'
import { type Bucket, newBucket } from './bucket.ts'
import { sourceOf } from './check-budget.ts'
import type { CheckPath } from './received.ts'

/** Integrities looked at per second of sources that never answered: 1 % of a core, and far more than peers send;
 *  and as many of answers, each of which somebody was asked for. */
const VERIFICATIONS = 2000
/** Checks a second that one member has answered at one address, or by relays: twice what it sends (timing.ts). */
const CHECKS = 100
/** Addresses of one member remembered; the one that was quiet for longest goes first. */
const REMEMBERED = 32

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
  readonly #members = new Map<DeviceId, Map<string, Source>>()

  mayAnswer(nowMs: number): boolean {
    return this.#answers.take(nowMs)
  }

  /** Is a check that names this member to be looked at? `flooding`: it sent too many authentic ones. */
  mayAsk(device: DeviceId, from: CheckPath, nowMs: number): 'yes' | 'no' | 'flooding' {
    const source = this.#members.get(device)?.get(nameOf(from))
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

  /** All others are no members any more. */
  keep(devices: { has(device: DeviceId): boolean }): void {
    for (const device of this.#members.keys())
      if (!devices.has(device)) this.#members.delete(device)
  }

  #sourceOf(device: DeviceId, from: CheckPath): Source {
    const sources = this.#members.get(device) ?? new Map<string, Source>()
    this.#members.set(device, sources)
    const name = nameOf(from)
    const source = sources.get(name) ?? {
      checks: newBucket(CHECKS, CHECKS),
      reserve: undefined,
      floodedUntilMs: -Infinity,
    }
    sources.delete(name)
    if (sources.size >= REMEMBERED) forgetOne(sources)
    sources.set(name, source)
    return source
  }
}

/** Whoever repeats a member's checks from many addresses must not push out those that it answered at. */
function forgetOne(sources: Map<string, Source>): void {
  const names = [...sources]
  const [name] = names.find(([, { reserve }]) => reserve === undefined) ?? names[0] ?? []
  if (name !== undefined) sources.delete(name)
}

/** All relays are one: by which a member floods does not matter. */
function nameOf(from: CheckPath): string {
  return typeof from === 'string' ? 'relay' : sourceOf(from.address)
}
