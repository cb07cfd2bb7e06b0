import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PathInput, step } from '../../../agent/path/machine.ts'
import { initialState } from '../../../agent/path/path-state.ts'
import { CHECKS_PER_SECOND } from '../../../agent/path/timing.ts'
import { addressFromBytes } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'

/** As many as one statement may have. */
const AT_ONCE = 16
const STATEMENTS = 62_500

/** No two of a million are the same. */
function candidatesOf(statement: number): readonly Candidate[] {
  return Array.from({ length: AT_ONCE }, (_, index) => {
    const number = statement * AT_ONCE + index
    const bytes = Uint8Array.of(11, number >> 16, (number >> 8) & 0xff, number & 0xff)
    return { kind: 'server-reflexive', address: addressFromBytes(bytes), port: 9 }
  })
}

const rule = suite('a member that says a million candidates (SPEC §10.9)')

for (const kind of ['peer-candidates', 'punched', 'check-received'] as const) {
  rule(`by ${kind}: what is remembered and what is sent stays bounded`, () => {
    let state = initialState(true, [], 0)
    let [checks, mostPairs] = [0, 0]
    const give = (input: PathInput, nowMs: number): void => {
      const stepped = step(state, input, nowMs)
      state = stepped.state
      checks += stepped.actions.filter((action) => action.kind === 'send-check').length
      mostPairs = Math.max(mostPairs, state.pairs.length)
    }
    for (let statement = 0; statement < STATEMENTS; statement += 1) {
      const candidates = candidatesOf(statement)
      if (kind === 'check-received') {
        for (const { address, port } of candidates) {
          give({ kind, endpoint: { address, port } }, statement)
        }
      } else give({ kind, candidates }, statement)
      give({ kind: 'tick' }, statement)
    }
    const seconds = STATEMENTS / 1000
    process.stdout.write(
      `${kind}: ${mostPairs} pairs, ${(checks / seconds).toFixed(1)} checks a second\n`,
    )
    assert.ok(mostPairs <= AT_ONCE, `${mostPairs} pairs`)
    assert.ok(checks <= CHECKS_PER_SECOND * (seconds + 1), `${checks} checks in ${seconds} s`)
  })
}

rule.run()
