/** What the local API answers about the policy. */
import { z } from 'zod'
import { POLICY_TEXT_CHARACTERS } from '../../protocol/limits.ts'
import { VERDICTS } from '../../protocol/policy-rules.ts'
import { POLICY_STATES } from '../../protocol/policy-status.ts'

export const POLICY = z.object({
  /** 0: version 0, which allows all traffic inside the organization. */
  revision: z.number(),
  rules: z.number(),
  /** YAML of the rules in force; without the tests, which the registry keeps. */
  text: z.string(),
})
export type PolicyReport = z.output<typeof POLICY>

const HOLDING = z.object({
  name: z.string(),
  deviceId: z.string(),
  /** Absent: the device says nothing of it, for its nexd is of an earlier version, or it was never heard. */
  revision: z.number().optional(),
  state: z.enum(POLICY_STATES),
  /** ISO 8601. */
  since: z.string().optional(),
  reason: z.string().optional(),
})

export const POLICY_STATUS = z.object({
  /** Of the policy that the newest manifest has. */
  revision: z.number(),
  /** This device first. */
  devices: z.array(HOLDING),
})
export type PolicyStatusReport = z.output<typeof POLICY_STATUS>
export type PolicyHolding = z.output<typeof HOLDING>

const END = z.object({
  verdict: z.enum(VERDICTS),
  rule: z.number().optional(),
  /** The rule's security group. */
  securityGroup: z.string().optional(),
  by: z.enum(['rule', 'default', 'no-rule']),
})
export const ANSWERS = z.object({
  question: z.string(),
  answers: z.array(
    z.object({ family: z.number(), verdict: z.enum(VERDICTS), outbound: END, inbound: END }),
  ),
})
export type AnswersReport = z.output<typeof ANSWERS>

export const POLICY_CHECK = z.object({
  rules: z.number(),
  tests: z.array(z.object({ test: z.string(), holds: z.boolean(), found: z.string() })),
})
export type PolicyCheckReport = z.output<typeof POLICY_CHECK>

export const QUESTION_BODY = z.strictObject({ question: z.string().min(1).max(512) })
export const CHECK_BODY = z.strictObject({ text: z.string().max(POLICY_TEXT_CHARACTERS) })

/** What the daemon lets the local API ask. */
export interface PolicyControls {
  policy(): PolicyReport
  policyStatus(): PolicyStatusReport
  /** By the policy in force. Throws MalformedError. */
  ask(question: string): AnswersReport
  /** Tests of a text, with the devices as this one knows them. Throws MalformedError. */
  check(text: string): PolicyCheckReport
}
