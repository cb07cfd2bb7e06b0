/** Watch: conditions an operator must hear of, said once when they begin and again when they return. */
import { deviceStanding, equivocation } from '../protocol/belief.ts'
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Log, LogLevel } from '../protocol/log.ts'
import type { OrganizationState } from '../protocol/state.ts'
import type { Plan } from './plan.ts'

/** Conditions remembered; beyond it the oldest may be said again. */
const REMEMBERED = 256

export class Watch {
  readonly #device: DeviceId
  readonly #clock: Clock
  readonly #log: Log
  readonly #said = new Set<string>()

  constructor(device: DeviceId, clock: Clock, log: Log) {
    this.#device = device
    this.#clock = clock
    this.#log = log
  }

  /** Logs what is wrong with what we believe, each thing once. */
  look(state: OrganizationState, plan: Plan): void {
    const now = this.#clock.now()
    const standing = deviceStanding(state, this.#device, now)
    if (standing === undefined) this.#forget('device.not-member')
    else
      this.say('error', 'device.not-member', standing, {
        hint:
          standing === 'not-approved'
            ? 'an approver must say: nexctl lock approve'
            : 'enrol again with nexd up, or ask an admin',
      })
    for (const { prefix, reason } of plan.leftOut)
      this.say('warn', 'route.left-out', `${prefix}: ${reason}`)
    if (!plan.policyUnderstood)
      this.say('error', 'policy.not-understood', 'nothing passes until nexd is upgraded')
    const twins = equivocation(state, now)
    if (twins.length > 0) {
      const reason = `two manifests with sequence ${twins[0]?.body.sequence}`
      this.say('error', 'issuer.compromised', reason, { manifests: twins.map(({ id }) => id) })
    }
  }

  /** Logs unless this very thing was said and has not ended since. */
  say(level: LogLevel, event: string, reason: string, fields: Record<string, unknown> = {}): void {
    const key = `${event} ${reason}`
    if (this.#said.has(key)) return
    const oldest = this.#said.keys().next()
    if (this.#said.size >= REMEMBERED && oldest.done !== true) this.#said.delete(oldest.value)
    this.#said.add(key)
    this.#log(level, event, { reason, ...fields })
  }

  #forget(event: string): void {
    for (const key of this.#said) if (key.startsWith(`${event} `)) this.#said.delete(key)
  }
}
