/** Stream pace: how many streams a member may open. Each costs a millisecond, whatever it is for and however soon
 *  it is refused; a member that opens many is thrown out. */
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { Pace } from '../../protocol/pace.ts'
import type { Link, Links } from './links.ts'
import type { MeshNode } from './node.ts'

/** Of all links to one member: punches are four a second, and the rest is rarer. */
export const STREAMS = { burst: 512, perSecond: 32 } as const

export function watchStreams(
  mesh: Pick<MeshNode, 'onInboundStream'>,
  {
    links,
    onFault,
    clock,
  }: {
    readonly links: Links
    onFault(link: Link, error: unknown): void
    readonly clock: Clock
  },
): void {
  const pace = new Pace(STREAMS)
  links.onUp((link) => {
    if (link.who.kind === 'registry') return
    let isBlamed = false
    mesh.onInboundStream(link.connection, () => {
      if (isBlamed || pace.spend(link.peer, 1, clock.monotonicMs())) return
      isBlamed = true
      onFault(link, new MalformedError(`streams: more than ${STREAMS.perSecond} a second`))
    })
  })
}
