import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { reachesAnybody } from '../../../agent/routes/daemon-watch.ts'

const rule = suite('what a daemon measures')

rule(
  'counts nobody as reached while its own tunnel is closed: a standby takes nothing over',
  () => {
    const daemon = (isOpen: boolean, connections: number) =>
      ({
        enforcement: { isOpen },
        parts: { mesh: { connections: () => Array(connections) } },
      }) as unknown as Parameters<typeof reachesAnybody>[0] // it asks for no more
    assert.ok(reachesAnybody(daemon(true, 2)))
    assert.not(reachesAnybody(daemon(false, 2)))
    assert.not(reachesAnybody(daemon(true, 0)))
  },
)

rule.run()
