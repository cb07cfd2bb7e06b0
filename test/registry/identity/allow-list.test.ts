import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AllowRules,
  allow,
  type Claims,
  missingClaims,
} from '../../../registry/identity/allow-list.ts'
import { ProblemError } from '../../../registry/problem.ts'

const rule = suite('allow-list')

const outcome = (rules: AllowRules, claims: Claims): string => {
  try {
    allow(rules, claims)
    return 'allowed'
  } catch (error) {
    if (error instanceof ProblemError) return `${error.status} ${error.message}`
    throw error
  }
}

const GRACE = { email: 'Grace@Example.ORG', email_verified: true, groups: ['dev', 'ops'] }

rule('without rules everybody may, verified or not', () => {
  assert.equal(allow({}, {}), { emailVerified: false, groups: [] })
  assert.equal(allow({}, GRACE), { email: 'Grace@Example.ORG', emailVerified: true, groups: [] })
  for (const email_verified of [undefined, false, 'true', 1, null]) {
    assert.is(allow({}, { ...GRACE, email_verified }).emailVerified, false)
  }
})

rule(
  'a domain lets in who has a verified address in it, whatever its case, and nobody else',
  () => {
    const rules = { emailDomains: ['example.org', 'example.net'] }
    assert.is(outcome(rules, GRACE), 'allowed')
    const refused: [Claims, string][] = [
      [{ ...GRACE, email_verified: false }, 'yours is not verified'],
      [{ ...GRACE, email_verified: undefined }, 'yours is not verified'],
      [{ ...GRACE, email: 'grace@evil.example' }, 'yours is in evil.example'],
      [{ ...GRACE, email: 'grace@notexample.org' }, 'yours is in notexample.org'],
      [{ ...GRACE, email: 'grace@sub.example.org' }, 'yours is in sub.example.org'],
      [{ ...GRACE, email: '"x@example.org"@evil.example' }, 'yours is in evil.example'],
      [{ email_verified: true }, 'yours is not told'],
      [{ email: ['grace@example.org'], email_verified: true }, 'yours is not told'],
    ]
    for (const [claims, why] of refused) {
      assert.is(
        outcome(rules, claims),
        `403 you may not sign in here: only verified e-mail addresses of example.org, example.net may, and ${why}`,
      )
    }
    assert.is(outcome({ ...rules, trustEmail: true }, { email: 'g@example.org' }), 'allowed')
  },
)

rule('groups let in their members, by the claim that has them, as text or as a list', () => {
  const rules = { allowedGroups: ['ops', 'root'], groupsClaim: 'roles' }
  assert.is(outcome(rules, { roles: ['dev', 'ops'] }), 'allowed')
  assert.is(outcome(rules, { roles: 'root' }), 'allowed')
  for (const claims of [
    {},
    GRACE,
    { roles: [] },
    { roles: ['OPS'] },
    { roles: { ops: true } },
    { roles: [['ops']] },
  ]) {
    assert.is(outcome(rules, claims), '403 you may not sign in here: only members of ops, root may')
  }
})

rule('groups become the security groups that the operator says, and no others', () => {
  const rules = { groups: { dev: 'engineering', ops: 'admins', lab: 'engineering' } }
  assert.equal(allow(rules, { groups: ['ops', 'dev', 'lab', 'admins'] }).groups, [
    'admins',
    'engineering',
  ])
  assert.equal(allow(rules, { groups: ['engineering'] }).groups, [])
})

rule('says which claims it wants and are not there', () => {
  assert.equal(missingClaims({}, {}), ['email'])
  assert.equal(missingClaims({}, GRACE), [])
  assert.equal(missingClaims({ groups: {}, groupsClaim: 'roles' }, GRACE), ['roles'])
  assert.equal(missingClaims({ allowedGroups: ['x'] }, {}), ['email', 'groups'])
})

rule.run()
