import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathInput } from '../../../agent/path/machine.ts'
import { initialState } from '../../../agent/path/path-state.ts'
import { statusOf } from '../../../agent/path/path-status.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { candidates, network, PUBLIC, start } from './world.ts'

const OTHER: Candidate = { kind: 'host', ...parseEndpoint('203.0.113.9:51820') }
const HINTS: readonly PathInput[] = [
  { kind: 'network-changed' },
  { kind: 'punched', candidates: [] },
]

const rule = suite('path machine: moves between paths that work')

/** One path of 8 ms, in use, and one of 40. */
function twoPaths(initiates: boolean) {
  const world = network([[PUBLIC, 8]], 80)
  world.direct.set(OTHER.address + OTHER.port, 40)
  const path = start(world, initialState(initiates, [...candidates, OTHER], 0))
  path.runUntil(25_000)
  const at = (): unknown => {
    const status = statusOf(path.state, path.nowMs)
    return status.kind === 'direct' && status.endpoint.address
  }
  assert.is(at(), PUBLIC.address)
  const takes = (ms: number): void => void world.direct.set(PUBLIC.address + PUBLIC.port, ms)
  return { path, at, takes }
}

for (const hint of HINTS) {
  rule(`leaves a path that has become slow at once where there is a hint (${hint.kind})`, () => {
    const { path, at, takes } = twoPaths(true)
    takes(120)
    path.give(hint)
    path.runUntil(26_500)
    assert.is(at(), OTHER.address)
    takes(8)
    path.give(hint)
    path.runUntil(28_000)
    assert.is(at(), PUBLIC.address)
  })

  rule(`measures once more where the host was busy with what changed (${hint.kind})`, () => {
    const { path, at, takes } = twoPaths(true)
    takes(120)
    path.give(hint)
    path.runUntil(30_000)
    takes(45)
    path.give(hint)
    path.runUntil(30_500)
    takes(8)
    assert.is(at(), OTHER.address)
    path.runUntil(31_500)
    assert.is(at(), PUBLIC.address)
  })
}

for (const initiates of [true, false]) {
  const title = initiates ? 'holds WireGuard to the path it moves to' : 'follows'
  rule(`the side that initiates decides where both differ: this one ${title}`, () => {
    const { path, takes } = twoPaths(initiates)
    takes(120)
    path.give({ kind: 'network-changed' })
    path.runUntil(27_000)
    const told = path.done.flatMap(({ action }) => (action.kind === 'use-direct' ? [action] : []))
    assert.equal(told[0]?.others, [], 'nothing was left behind yet')
    const { port, address } = OTHER
    const moved = told.find(({ endpoint }) => endpoint.address === address)
    const others = initiates ? [PUBLIC] : []
    assert.equal(moved, { kind: 'use-direct', endpoint: { address, port }, others })
  })
}

rule.run()
