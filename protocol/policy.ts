/** Security policy inside the manifest: its place and its rule of evolution (SPEC §5.3). */
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { encodePolicyRules, NO_RULES, type PolicyRules, parsePolicyRules } from './policy-rules.ts'

/** Version 0 is empty and allows all traffic inside the organization; version 1 has rules. */
export interface Policy {
  readonly version: number
  /** As received; read only by agents that understand `version`. */
  readonly body: CborMap
}

export const ALLOW_ALL: Policy = { version: 0, body: new Map() }

/** Throws MalformedError where the rules are more than a manifest holds. */
export function policyOf(rules: PolicyRules): Policy {
  return { version: 1, body: encodePolicyRules(rules) }
}

/** An agent that does not understand a policy lets nothing through and says so (fail closed). */
export function isUnderstood(policy: Policy): boolean {
  return policyRules(policy) !== undefined
}

/** Undefined for a policy of a later version, and for one whose body cannot be read in full. */
export function policyRules(policy: Policy): PolicyRules | undefined {
  if (policy.version === 0) return NO_RULES
  if (policy.version !== 1) return undefined
  if (!read.has(policy.body)) read.set(policy.body, readRules(policy.body))
  return read.get(policy.body)
}
/** Asked at every plan; bodies never change. */
const read = new WeakMap<CborMap, PolicyRules | undefined>()

function readRules(body: CborMap): PolicyRules | undefined {
  try {
    return parsePolicyRules(body)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

export function encodePolicy(policy: Policy): CborValue {
  return [policy.version, policy.body]
}

/** Throws MalformedError. What a version from 1 on has in its body is not looked at: a manifest whose policy
 *  nobody can read still revokes. */
export function parsePolicy(value: CborValue | undefined): Policy {
  if (!Array.isArray(value) || value.length !== 2)
    throw new MalformedError('policy: want [version, body]')
  const [version, body] = value
  if (typeof version !== 'number' || version < 0 || !(body instanceof Map)) {
    throw new MalformedError('policy: want [version, body]')
  }
  if (version === 0 && body.size !== 0) throw new MalformedError('policy: version 0 has no body')
  return { version, body }
}
