import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { initialState } from '../../../agent/path/path-state.ts'
import { candidates, kinds, network, PUBLIC, start } from './world.ts'

const rule = suite('path machine: the first initiation goes beside the first checks')

rule('where this side initiates', () => {
  const path = start(network([[PUBLIC, 40]]))
  path.runUntil(2)
  assert.ok(kinds(path.done).includes('wake'))
})

rule('not where the other side does', () => {
  const path = start(network([[PUBLIC, 40]]), initialState(false, candidates, 0))
  path.runUntil(30)
  assert.not(kinds(path.done).includes('wake'))
})

rule('not where nothing says where the peer was', () => {
  const path = start(network([]), initialState(true, [], 0))
  path.runUntil(60_000)
  assert.not(kinds(path.done).includes('wake'))
})

rule('once, and WireGuard rests again where the peer is off', () => {
  const path = start(network([]))
  path.runUntil(3_600_000)
  const ofSession = kinds(path.done).filter((kind) =>
    ['wake', 'restart-peer', 'rest'].includes(kind),
  )
  assert.equal(ofSession, ['wake', 'rest'])
})

rule.run()
