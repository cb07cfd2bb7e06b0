import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { verdictOf } from '../../../agent/why/verdict.ts'
import { VERDICT_CODES } from '../../../agent/why/verdict-code.ts'
import { PATH_CASES } from './path-cases.ts'
import { RELAY_CASES } from './relay-cases.ts'
import { TRUST_CASES } from './trust-cases.ts'

const rule = suite('the verdict')
const CASES = [...TRUST_CASES, ...PATH_CASES, ...RELAY_CASES]

for (const [what, facts, code, sentence, advice] of CASES) {
  rule(what, () => {
    const verdict = verdictOf(facts)
    assert.is(verdict.code, code, verdict.sentence)
    if (typeof sentence === 'string') assert.is(verdict.sentence, sentence)
    else assert.match(verdict.sentence, sentence)
    assert.match(verdict.advice, advice)
  })
}

rule('has a case for each code', () => {
  const covered = new Set(CASES.map(([, , code]) => code))
  assert.equal(
    VERDICT_CODES.filter((code) => !covered.has(code)),
    [],
  )
})

rule.run()
