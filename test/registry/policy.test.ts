import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { REVOCATIONS } from '../../protocol/limits.ts'
import { policyRules } from '../../protocol/policy.ts'
import type { Issued } from '../../registry/issuing.ts'
import { openPolicies } from '../../registry/policy.ts'
import { POLICY_HISTORY } from '../../registry/policy-record.ts'
import { ProblemError } from '../../registry/problem.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('policy of an organization')

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) =>
      error instanceof ProblemError ? `${error.code} ${error.message}` : String(error),
  )

const DB = `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  storage:
    inbound_rules:
      - {ip_protocol: tcp, from_port: 5432, to_port: 5432, groups: [web]}
`
const TESTED = `${DB}tests:
  - laptop -> db:5432 tcp: accept
  - phone -> db:5432 tcp: deny
  - laptop -> db:22 tcp: deny
`

async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const policies = openPolicies(core)
  const join = async (name: string, ...groups: readonly string[]) => {
    const device = asker(name)
    await core.enrol(device, await core.key(organization))
    await core.devices.change(organization, device.id, { groups })
    return device
  }
  await join('laptop', 'web')
  await join('db', 'storage')
  await join('phone')
  const manifest = async (of: OrganizationId = organization) => {
    const [, envelope] = (await core.issuing.foundation(of)).map(openEnvelope)
    if (envelope?.kind !== 'manifest') throw new Error('no manifest')
    return envelope.body
  }
  const save = (text: string, revision: number) =>
    policies.save(organization, core.ada(), { text, revision })
  return { core, ada, organization, policies, manifest, save, join }
}

rule('is version 0 until one is saved, and then in a new manifest at once', async () => {
  const { core, manifest, policies, organization, save } = await scene()
  await using _ = core
  const { revision, text } = await policies.current(organization)
  assert.equal([revision, (await manifest()).policy.version], [0, 0])
  const { sequence } = await manifest()
  const saved = await save(TESTED, 0)
  assert.is(saved.revision, 1)
  const next = await manifest()
  assert.is(next.sequence, sequence + 1)
  assert.equal(policyRules(next.policy)?.revision, 1)
  assert.equal(policyRules(next.policy)?.rules.length, 1)
  assert.equal(await policies.current(organization), saved)
  // What is shown before the first save can be saved as it is.
  assert.is((await save(text, 1)).revision, 2)
})

rule(
  'is told to the organization that saved it, and to no other (upstream’s defect 6)',
  async () => {
    const { core, ada, organization, save, manifest } = await scene()
    await using _ = core
    const other = await core.lifecycle.create(ada, { name: 'Umbrella' })
    const before = (await manifest(other)).sequence
    const told: Issued[] = []
    core.issuing.onIssued((issued) => void told.push(issued))
    await save(DB, 0)
    const kinds = told.map((issued) => [
      issued.organization,
      issued.envelopes.map((bytes) => openEnvelope(bytes).kind),
    ])
    assert.equal(kinds, [[organization, ['manifest']]])
    assert.equal(
      [(await manifest(other)).sequence, (await manifest(other)).policy.version],
      [before, 0],
    )
  },
)

rule('stays in every later manifest, whatever that is made for', async () => {
  const { core, organization, save, manifest, join } = await scene()
  await using _ = core
  await save(DB, 0)
  const gone = await join('gone')
  await core.devices.remove(organization, gone.id)
  assert.is(policyRules((await manifest()).policy)?.revision, 1)
  assert.ok((await manifest()).revocations.size > 0)
})

rule('fits a manifest that is full of revocations', async () => {
  const { core, organization, save, manifest } = await scene()
  await using _ = core
  const rules = Array.from({ length: 100 }, (_, index) => {
    const ranges = Array.from({ length: 4 }, (_it, at) => `"10.${index}.${at}.0/24"`)
    return `      - {ip_protocol: tcp, from_port: 5000, to_port: 5100, groups: [group-${index}], ip_ranges: [${ranges}]}`
  })
  await save(`version: 1\nsecurity_groups:\n  "*":\n    inbound_rules:\n${rules.join('\n')}\n`, 0)
  const revoked = Array.from({ length: REVOCATIONS }, (_, index) => ({
    serial: index.toString(16).padStart(16, '0'),
    notAfter: (core.clock.now() + 3600) as never,
  }))
  await core.issuing.change(organization, (change) => change.publishManifest(revoked))
  const { revocations, policy } = await manifest()
  assert.equal([revocations.size, policyRules(policy)?.rules.length], [REVOCATIONS, 100])
})

rule('is not saved over one that the saver has not seen', async () => {
  const { core, organization, policies, save } = await scene()
  await using _ = core
  await save(DB, 0)
  assert.match(await refusal(save(TESTED, 0)), /^policy-conflict revision 1 is in force, not 0/)
  const both = [save(DB, 1), save(TESTED, 1)]
  const answers = await Promise.all(both.map(refusal))
  assert.is(answers.filter((answer) => answer === 'none').length, 1)
  assert.is((await policies.current(organization)).revision, 2)
})

rule('is not saved while one of its tests does not hold', async () => {
  const { core, policies, organization, save } = await scene()
  await using _ = core
  for (const [test, says] of [
    [
      'phone -> db:5432 tcp: accept',
      /1 of 1 tests do not hold: "phone -> db:5432 tcp: accept": deny/,
    ],
    ['laptop -> nobody:1 tcp: deny', /no device "nobody"/],
  ] as const) {
    const answer = await refusal(save(`${DB}tests: ["${test}"]`, 0))
    assert.match(answer, /^policy-test-failed/)
    assert.match(answer, says)
  }
  assert.is((await policies.current(organization)).revision, 0)
})

rule('refuses what is no policy, with the line', async () => {
  const { core, save } = await scene()
  await using _ = core
  const answer = await refusal(save(DB.replace('to_port: 5432', 'to_port: 22'), 0))
  assert.match(answer, /^policy-invalid .*line 6: .*from_port: is 5432, want at most to_port, 22/)
  const many = Array(256).fill(`{ip_ranges: [${Array(50).fill('10.0.0.1')}]}`)
  const large = `{version: 1, security_groups: {a: {inbound_rules: [${many}]}}}`
  assert.match(await refusal(save(large, 0)), /^policy-invalid .*bytes in a manifest/)
})

rule('whoever asks holds up nobody who writes: a question is no commit', async () => {
  const { core, policies, organization } = await scene()
  await using _ = core
  core.store.commit = () => Promise.reject(new Error('a commit'))
  const { answers } = await policies.check(organization, { question: 'laptop -> db:5432' })
  assert.is(answers.length > 0, true)
})

rule('can be tried without being saved', async () => {
  const { core, policies, organization } = await scene()
  await using _ = core
  const check = await policies.check(organization, {
    text: TESTED.replace('db:22 tcp: deny', 'db:22 tcp: accept'),
    question: 'laptop -> db:5432',
  })
  assert.equal(
    check.tests.map(({ holds, found }) => [holds, found]),
    [
      [true, 'accept'],
      [true, 'deny'],
      [false, 'deny'],
    ],
  )
  assert.equal(
    check.answers.map(({ family, inbound }) => [family, inbound.rule]),
    [
      [4, 1],
      [6, 1],
    ],
  )
  const broken = await policies.check(organization, { text: 'version: 2' })
  assert.match(broken.mistakes.join(), /line 1: version/)
  assert.match(await refusal(policies.check(organization, { question: 'x' })), /^policy-invalid/)
  assert.is((await policies.current(organization)).revision, 0)
})

rule('is kept, every one, and entered in the audit log', async () => {
  const { core, policies, organization, save } = await scene()
  await using _ = core
  await save(DB, 0)
  await save(TESTED, 1)
  await save(DB, 2)
  const first = await policies.history(organization, { limit: 2 })
  assert.equal(
    first.items.map(({ revision, text }) => [revision, text === DB]),
    [
      [3, true],
      [2, false],
    ],
  )
  const second = await policies.history(organization, { limit: 2, cursor: first.next ?? '' })
  assert.equal(
    second.items.map(({ revision }) => revision),
    [1],
  )
  assert.is('next' in second, false)
  assert.is((await core.database.get(POLICY_HISTORY, `${organization}/000000000001`))?.text, DB)
})

rule('groups count from the first certificate on (upstream’s defect 7)', async () => {
  const { core, organization, policies } = await scene()
  await using _ = core
  const device = asker('web-2')
  await core.enrol(device, await core.key(organization, { groups: ['web'] }))
  const first = (await core.issuing.envelopes(organization))
    .map(openEnvelope)
    .flatMap((each) =>
      each.kind === 'membership-certificate' && each.body.device === device.id
        ? [each.body.groups]
        : [],
    )
  assert.equal(first, [['web']])
  const { answers } = await policies.check(organization, { text: DB, question: 'web-2 -> db:5432' })
  assert.equal(
    answers.map(({ verdict }) => verdict),
    ['accept', 'accept'],
  )
})

rule.run()
