/** Further: the process of one more organization of an agent. It asks the first one's what it may have, and ends when
 *  that one does. */
import type { Log } from '../../protocol/log.ts'
import type { ToFirst, ToFurther } from './messages.ts'
import type { Neighbourhood } from './neighbourhood.ts'
import { Seat } from './neighbours.ts'
import { NO_SHARE } from './share.ts'

/** Names the environment variable by which a process knows that it is one, and its label. */
export const LABEL_VARIABLE = 'NEXODUS_LABEL'

export interface FurtherNeighbourhood extends Neighbourhood {
  announce(code: string, link: string, fingerprint: string): void
  waiting(): void
  /** It ends, by an error. */
  ending(reason: string): void
}

/** Undefined where this process is an agent's first one. */
export function furtherLabel(): string | undefined {
  return process.send === undefined ? undefined : process.env[LABEL_VARIABLE]
}

/** Lines of its log name it. */
export function labelled(log: Log, label: string): Log {
  return (level, event, fields) => log(level, event, { ...fields, organizationLabel: label })
}

/** @param stop called when the first one's process has ended, however */
export function furtherNeighbourhood(
  isHostShared: boolean,
  stop: () => void,
): FurtherNeighbourhood {
  const say = (message: ToFirst): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
  }
  const seat = new Seat({
    isFirst: false,
    share: isHostShared ? NO_SHARE : undefined,
    isTelling: true,
    say: (wants) => wants && say({ kind: 'wants', wants }),
  })
  process.once('disconnect', stop)
  // It comes from the process that started this one, and decides over it.
  process.on('message', (message: ToFurther) => seat.become(message.share))
  if (!process.connected) stop()
  say({ kind: 'hello' })
  return {
    neighbours: seat,
    start: async () => {
      say({ kind: 'running' })
      return undefined
    },
    announce: (code, link, fingerprint) => say({ kind: 'announce', code, link, fingerprint }),
    waiting: () => say({ kind: 'approved' }),
    ending: (reason) => say({ kind: 'ending', reason: reason.slice(0, 1024) }),
  }
}
