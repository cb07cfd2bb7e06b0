/** Stream pace: how many streams a device may open. Each costs a millisecond, whatever it is for and however soon it
 *  is refused; a device that opens many is thrown out. */
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import { Pace } from '../../protocol/pace.ts'
import type { Link } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { Strangers } from './strangers.ts'

export const STREAMS = { burst: 512, perSecond: 32 } as const
/** Milliseconds for which who opened too many is not let in. */
const DENIED_MS = 60_000

export interface StreamPaceOptions {
  readonly strangers: Strangers
  readonly clock: Pick<Clock, 'monotonicMs'>
}

export class StreamPace {
  readonly #streams = new Pace(STREAMS)
  readonly #options: StreamPaceOptions

  constructor(options: StreamPaceOptions) {
    this.#options = options
  }

  /** The device has been let in by one more connection. */
  watch(link: Link, { onInboundStream }: Pick<RendezvousNode, 'onInboundStream'>): void {
    const nowMs = (): number => this.#options.clock.monotonicMs()
    let isEnded = false
    onInboundStream(link.connection, () => {
      if (isEnded || this.#streams.spend(link.peer, 1, nowMs())) return
      isEnded = true
      this.#end(link)
    })
  }

  #end({ peer, device, name, organization, connection }: Link): void {
    const { strangers } = this.#options
    const reason = `more than ${STREAMS.perSecond} streams a second`
    strangers.deny(peer, DENIED_MS)
    strangers.tell(peer, 'rendezvous.device-misbehaves', { device, name, organization, reason })
    abortConnection(connection, new Error(reason))
  }
}
