import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RouteControl } from '../../../agent/routes/route-control.ts'

const rule = suite('route control')

/** What is said of a wanted exit that the plan has. */
function exits(failure: string | undefined) {
  const exit = {
    settings: { preference: { kind: 'auto' }, allowLocal: false },
    families: () => new Set([4]),
    failure,
  }
  const watch = { exit: undefined, choice: () => undefined }
  const side = { view: () => ({ claims: new Map(), standbys: new Map() }) }
  return new RouteControl({ exit, watch, daemon: {} } as never, side as never).exits()
}

rule('says that an exit is in use only where the host is set up for it', () => {
  assert.is(exits(undefined).state, 'on')
  const { state, why } = exits('File exists')
  assert.is(state, 'failed')
  assert.match(why, /packets may leave beside the exit: File exists/)
})

rule.run()
