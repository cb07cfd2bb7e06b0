/** Sync pace: how much sync a member may ask of this device. */
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import { type FloodLog, newFloodLog } from '../flood-log.ts'
import { type Link, nameOfLink } from './links.ts'

/** Bytes of sync that one member may send: at once ten times all that 1,000 devices say, and in a minute. */
const BYTES = { burst: 16 * 1024 * 1024, perSecond: (16 * 1024 * 1024) / 60 } as const
/** Exchanges that one member may begin; each costs what it takes to compare all that is held. */
const EXCHANGES = { burst: 32, perSecond: 1 } as const

export class SyncPace {
  readonly #bytes = new Pace(BYTES)
  readonly #exchanges = new Pace(EXCHANGES)
  readonly #floods: FloodLog
  readonly #clock: Clock

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock
    this.#floods = newFloodLog(log, 1)
  }

  /** The other end begins an exchange. Throws where it does so too often. */
  begin(link: Link): void {
    const nowMs = this.#clock.monotonicMs()
    if (link.who.kind === 'registry' || this.#exchanges.spend(link.peer, 1, nowMs)) return
    this.#floods.count('mesh.member-floods', nameOfLink(link), nowMs, { with: 'syncs' })
    throw new Error('sync: too often')
  }

  /** Throws MalformedError where a member sends more than all that there is to say. */
  spend(link: Link, bytes: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (link.who.kind === 'registry' || this.#bytes.spend(link.peer, bytes, nowMs)) return
    throw new MalformedError(`sync: more than ${BYTES.burst} bytes in a minute`)
  }
}
