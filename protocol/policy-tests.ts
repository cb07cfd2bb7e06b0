/** Policy tests: do the answers that a policy must give come of it? */
import { MalformedError } from './errors.ts'
import type { PolicyMember } from './policy-holders.ts'
import { answerPolicyQuestion, formatPolicyQuestion, type PolicyTest } from './policy-question.ts'
import type { PolicyRules } from './policy-rules.ts'

export interface PolicyTestResult {
  /** As people write it. */
  readonly test: string
  readonly holds: boolean
  /** `accept`, `deny`, what differs between address families, or why there is no answer. */
  readonly found: string
}

/** A test holds where both address families, as far as both ends have them, give the answer that it wants. One that
 *  names a device that is not there does not hold. */
export function runPolicyTests(
  policy: PolicyRules,
  tests: readonly PolicyTest[],
  members: readonly PolicyMember[],
): readonly PolicyTestResult[] {
  return tests.map((test) => {
    const text = `${formatPolicyQuestion(test)}: ${test.expect}`
    try {
      const answers = answerPolicyQuestion(policy, test, members)
      const verdicts = new Set(answers.map(({ verdict }) => verdict))
      const holds = verdicts.size === 1 && verdicts.has(test.expect)
      const each = answers.map(({ family, verdict }) => `${verdict} over IPv${family}`)
      return {
        test: text,
        holds,
        found: verdicts.size === 1 ? [...verdicts].join() : each.join(', '),
      }
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      return { test: text, holds: false, found: error.message }
    }
  })
}
