/** Own punches: what this device says to one other about the path between the two. */
import type { Clock } from '../protocol/clock.ts'
import type { Candidate } from '../protocol/endpoint-update.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Spray } from '../protocol/punch.ts'
import { explain } from './errors.ts'
import type { Mesh } from './mesh/mesh.ts'

export class OwnPunches {
  readonly #mesh: () => Pick<Mesh, 'sendPunch'> | undefined
  readonly #clock: Clock
  readonly #log: Log
  #sequence = 0

  /** @param mesh undefined while there is none: nothing is said then */
  constructor(mesh: () => Pick<Mesh, 'sendPunch'> | undefined, clock: Clock, log: Log) {
    this.#mesh = mesh
    this.#clock = clock
    this.#log = log
  }

  /** Each is newer than the last, also of two in one millisecond: the receiver ignores what is not. */
  send(to: DeviceId, candidates: readonly Candidate[], spray?: Spray): void {
    this.#sequence = Math.max(this.#sequence + 1, this.#clock.nowMs())
    const punch = { sequence: this.#sequence, candidates, spray }
    void this.#mesh()
      ?.sendPunch(to, punch)
      .catch((error: unknown) => {
        this.#log('debug', 'punch.failed', { reason: explain(error) })
      })
  }
}
