/** Allow-lists: which of the users that a provider vouches for may sign in here, and with which groups. */
import type { IssuerConfig } from '../config.ts'
import { ProblemError } from '../problem.ts'

/** Who may, and what their claims mean. */
export type AllowRules = Pick<
  IssuerConfig,
  'emailDomains' | 'trustEmail' | 'groupsClaim' | 'allowedGroups' | 'groups'
>

/** As the ID token, or the userinfo endpoint, has them. */
export type Claims = Readonly<Record<string, unknown>>

export interface Allowed {
  readonly email?: string
  readonly emailVerified: boolean
  /** Security groups for the user's devices. */
  readonly groups: readonly string[]
}

const USUAL_CLAIM = 'groups'

/** Claims that these rules need and that are not there. */
export function missingClaims(rules: AllowRules, claims: Claims): readonly string[] {
  const { groupsClaim = USUAL_CLAIM } = rules
  const needsGroups = rules.allowedGroups !== undefined || rules.groups !== undefined
  const wanted = ['email', ...(needsGroups ? [groupsClaim] : [])]
  return wanted.filter((name) => claims[name] === undefined)
}

/** Throws a 403 problem that says what is missing: who reads it has signed in at the provider. */
export function allow(rules: AllowRules, claims: Claims): Allowed {
  const { emailDomains, allowedGroups, groups = {} } = rules
  const email = typeof claims['email'] === 'string' ? claims['email'] : undefined
  const emailVerified = claims['email_verified'] === true || rules.trustEmail === true
  const held = groupsIn(claims[rules.groupsClaim ?? USUAL_CLAIM])
  if (emailDomains !== undefined && !(emailVerified && emailDomains.includes(domainOf(email)))) {
    throw notAllowed(
      `only verified e-mail addresses of ${emailDomains.join(', ')} may, and yours is ${email === undefined ? 'not told' : emailVerified ? `in ${domainOf(email)}` : 'not verified'}`,
    )
  }
  if (allowedGroups !== undefined && !allowedGroups.some((group) => held.has(group))) {
    throw notAllowed(`only members of ${allowedGroups.join(', ')} may`)
  }
  const given = Object.entries(groups).filter(([group]) => held.has(group))
  return {
    ...(email !== undefined && { email }),
    emailVerified: email !== undefined && emailVerified,
    groups: [...new Set(given.map(([, security]) => security))].toSorted(),
  }
}

/** One text, or a list of them. */
function groupsIn(claim: unknown): ReadonlySet<string> {
  const list = Array.isArray(claim) ? claim : [claim]
  return new Set(list.filter((each) => typeof each === 'string'))
}

function domainOf(email: string | undefined): string {
  return email?.split('@').at(-1)?.toLowerCase() ?? ''
}

function notAllowed(why: string): ProblemError {
  return new ProblemError(403, 'sign-in-not-allowed', `you may not sign in here: ${why}`)
}
