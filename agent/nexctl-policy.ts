/** nexctl's commands about the policy: what is in force here and elsewhere, and policies as files. */
import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { z } from 'zod'
import { addDryRunCommand } from './admin/dry-run-command.ts'
import { withSession } from './admin/organization-commands.ts'
import type { AdminSession } from './admin/session.ts'
import { columns } from './columns.ts'
import {
  ANSWERS,
  type AnswersReport,
  POLICY,
  POLICY_CHECK,
  POLICY_STATUS,
  type PolicyCheckReport,
  type PolicyStatusReport,
} from './control/policy-report.ts'
import type { Show } from './nexctl-proxy.ts'
import { textOf } from './text-file.ts'

export function addPolicyCommands(program: Command, show: Show): void {
  const policy = program
    .command('policy')
    .description('who may do what: security groups and their rules')
  policy
    .command('show')
    .description(
      'the rules in force at this device (the registry has them with their tests: export)',
    )
    .action(() =>
      show(POLICY, '/v1/policy', ({ revision, text }) =>
        `# revision ${revision}\n${text}`.trimEnd(),
      ),
    )
  policy
    .command('status')
    .description('which device enforces which policy, since when, or why it does not')
    .action(() => show(POLICY_STATUS, '/v1/policy/status', policyStatusText))
  policy
    .command('test')
    .argument('<question...>', '"laptop -> db:5432 tcp"; also group:NAME, user:NAME, an address')
    .description('may it? by the policy in force, as this device knows it')
    .action((words: readonly string[]) =>
      show(ANSWERS, '/v1/policy/ask', answersText, { question: words.join(' ') }),
    )
  policy
    .command('check')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .description(
      'read a policy and run its tests, with the devices that this one knows; exit status 1 where one does not hold',
    )
    .action(async (file: string) => {
      const asked = { text: await textOf(file) }
      await show(POLICY_CHECK, '/v1/policy/check', checkText, asked, ({ tests }) =>
        tests.some(({ holds }) => !holds),
      )
    })
  addRegistryPolicyCommands(policy)
}

const SAVED = z.object({ revision: z.number(), text: z.string() })

function addRegistryPolicyCommands(policy: Command): void {
  const saved = async ({ api, home }: AdminSession) =>
    SAVED.parse(await api.ask('GET', `${await home()}/policy`))
  withSession(
    policy
      .command('export')
      .argument('<file>', 'to write; - for standard output')
      .description('the policy as it was saved in the registry, with its tests'),
    async (session, file) => {
      const { revision, text } = await saved(session)
      if (file === '-') process.stdout.write(text)
      else {
        await writeFile(file, text, { flag: 'wx' })
        session.say(`revision ${revision} written to ${file}`, { revision })
      }
    },
  )
  addDryRunCommand(policy)
  const apply = policy
    .command('apply')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .option('--revision <n>', 'of the policy that it replaces (that in force)', Number)
    .description('put a policy in force: the registry runs its tests, and tells every device')
  withSession(apply, async (session, file) => {
    const text = await textOf(file)
    const { api, home, say } = session
    const before = await saved(session)
    if (before.text === text)
      return say(`revision ${before.revision} is that policy already`, before)
    const wanted: unknown = apply.opts()['revision']
    const revision = typeof wanted === 'number' ? wanted : before.revision
    const next = await api.ask('PUT', `${await home()}/policy`, { text, revision })
    say(`revision ${SAVED.parse(next).revision} is in force`, next)
  })
  withSession(
    policy.command('history').description('every policy there was, the newest first'),
    async ({ api, home, table }) =>
      table(await api.list(`${await home()}/policy/history`, 'policies'), [
        ['REVISION', 'revision'],
        ['SAVED', 'savedAt'],
        ['BY', 'by'],
      ]),
  )
}

export function policyStatusText({ revision, devices }: PolicyStatusReport): string {
  const current = devices.filter((each) => each.state === 'enforced' && each.revision === revision)
  const head =
    revision === 0
      ? 'no policy was ever saved: all traffic inside the organization passes'
      : `revision ${revision}: enforced by ${current.length} of ${devices.length}`
  const rows = devices.map((each) => [
    each.name,
    each.revision === undefined ? '-' : String(each.revision),
    each.state,
    each.since ?? '-',
    each.reason ?? '',
  ])
  return `${head}\n${columns(['NAME', 'REVISION', 'STATE', 'SINCE', ''], rows)}`
}

/** `accept: out by rule 2 of "web", in by rule 3 of "db"`. */
export function answersText({ question, answers }: AnswersReport): string {
  const said = answers.map(({ family, verdict, outbound, inbound }) => {
    return [`IPv${family}`, verdict, `out ${endText(outbound)}, in ${endText(inbound)}`]
  })
  return `${question}\n${columns([], said)}`
}

function endText({
  verdict,
  by,
  rule,
  securityGroup,
}: AnswersReport['answers'][number]['inbound']): string {
  switch (by) {
    case 'rule':
      return `accepted by rule ${rule} (security group "${securityGroup ?? ''}")`
    case 'default':
      return `${verdict === 'accept' ? 'accepted' : 'denied'} by default`
    case 'no-rule':
      return 'denied, for no rule accepts it'
  }
}

export function checkText({ rules, tests }: PolicyCheckReport): string {
  const failed = tests.filter(({ holds }) => !holds)
  const lines = failed.map(({ test, found }) => `does not hold: ${test} (found: ${found})`)
  return [
    `${rules} rules; ${tests.length - failed.length} of ${tests.length} tests hold`,
    ...lines,
  ].join('\n')
}
