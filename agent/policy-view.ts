/** Policy view: the policy as this device knows it, who holds to it, and what it would say. */
import type { Member } from '../protocol/belief.ts'
import type { PolicyDecision } from '../protocol/policy-decision.ts'
import { parsePolicyDocument } from '../protocol/policy-document.ts'
import type { PolicyMember } from '../protocol/policy-holders.ts'
import {
  answerPolicyQuestion,
  formatPolicyQuestion,
  parsePolicyQuestion,
} from '../protocol/policy-question.ts'
import { encodePolicyRules, NO_RULES, type PolicyRules } from '../protocol/policy-rules.ts'
import { runPolicyTests } from '../protocol/policy-tests.ts'
import { formatPolicyDocument } from '../protocol/policy-text.ts'
import type {
  AnswersReport,
  PolicyCheckReport,
  PolicyControls,
  PolicyHolding,
  PolicyReport,
  PolicyStatusReport,
} from './control/policy-report.ts'
import { memberOf, peersOf } from './firewall/wanted.ts'
import type { Plan } from './plan.ts'
import type { EnforcementStatus } from './policy-enforcement.ts'

export interface PolicySource {
  readonly plan: Plan
  readonly enforcement: { status(): EnforcementStatus }
}

export class PolicyView implements PolicyControls {
  readonly #source: PolicySource

  constructor(source: PolicySource) {
    this.#source = source
  }

  policy(): PolicyReport {
    const { revision, ...rules } = this.#rules()
    return {
      revision,
      rules: rules.rules.length,
      text: formatPolicyDocument({ rules, tests: [] }),
    }
  }

  /** Of this device, for its status. */
  own(): Pick<EnforcementStatus, 'revision' | 'state' | 'reason'> {
    const { since: _, ...own } = this.#source.enforcement.status()
    return own
  }

  policyStatus(): PolicyStatusReport {
    const { plan, enforcement } = this.#source
    const { revision, state, since, reason } = enforcement.status()
    const own: PolicyHolding[] =
      plan.own === undefined
        ? []
        : [
            {
              ...whose(plan.own),
              ...{ revision, state },
              since: iso(since),
              ...(reason && { reason }),
            },
          ]
    return {
      revision: this.#rules().revision,
      devices: [...own, ...[...plan.peers.values()].map(holdingOf)],
    }
  }

  ask(text: string): AnswersReport {
    const question = parsePolicyQuestion(text)
    const rules = this.#rules()
    const answers = answerPolicyQuestion(rules, question, this.#members())
    return {
      question: formatPolicyQuestion(question),
      answers: answers.map(({ inbound, outbound, ...rest }) => ({
        ...rest,
        outbound: withGroup(outbound, rules),
        inbound: withGroup(inbound, rules),
      })),
    }
  }

  check(text: string): PolicyCheckReport {
    const { rules, tests } = parsePolicyDocument(text)
    const counted = { ...rules, revision: 1 }
    encodePolicyRules(counted)
    return {
      rules: rules.rules.length,
      tests: [...runPolicyTests(counted, tests, this.#members())],
    }
  }

  /** Of one that is not understood there is nothing to tell but that. */
  #rules(): PolicyRules {
    return this.#source.plan.policy ?? NO_RULES
  }

  #members(): readonly PolicyMember[] {
    const { plan } = this.#source
    const own = plan.own === undefined ? [] : [memberOf(plan.own, plan.ownPrefixes)]
    return [...own, ...peersOf(plan)]
  }
}

function whose({ certificate: { name, device } }: Member): { name: string; deviceId: string } {
  return { name, deviceId: device }
}

function holdingOf(member: Member): PolicyHolding {
  const said = member.endpoints?.body.policy
  if (said === undefined) return { ...whose(member), state: 'unknown' }
  const { revision, state, since } = said
  return { ...whose(member), revision, state, since: iso(since) }
}

function withGroup(
  decision: PolicyDecision,
  { rules }: PolicyRules,
): PolicyDecision & { readonly securityGroup?: string } {
  const rule = decision.rule === undefined ? undefined : rules[decision.rule - 1]
  return rule === undefined ? decision : { ...decision, securityGroup: rule.securityGroup }
}

function iso(moment: number): string {
  return new Date(moment * 1000).toISOString()
}
