/** Address watch: tells when the host's addresses or default routes changed, or it woke from sleep, by looking, where
 *  `ip monitor` is not to be run. */
import { networkInterfaces } from 'node:os'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { watchForWake } from './link-events.ts'
import { defaultRoutes } from './proc-routes.ts'

/** Milliseconds between looks: what `ip monitor` tells at once is known this late at most. */
const LOOK_MS = 1000

/** Watches until it is cancelled. @param look all whose change is news */
export function startAddressWatch(options: {
  readonly clock: Clock
  readonly onChange: () => void
  readonly look?: () => unknown
}): Cancellable {
  const { clock, onChange, look = hostNow } = options
  let known = JSON.stringify(look())
  const looking = clock.every(LOOK_MS, () => {
    const now = JSON.stringify(look())
    if (now === known) return
    known = now
    onChange()
  })
  const wake = watchForWake(clock, onChange)
  return {
    cancel: () => {
      looking.cancel()
      wake.cancel()
    },
  }
}

function hostNow(): unknown {
  return [networkInterfaces(), defaultRoutes(4), defaultRoutes(6)]
}
