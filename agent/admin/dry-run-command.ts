/** nexctl's command that tries a policy at the registry, as a pipeline does before it applies it. */
import type { Command } from 'commander'
import { z } from 'zod'
import { OperatorError } from '../errors.ts'
import { printable } from '../printable.ts'
import { textOf } from '../text-file.ts'
import { withSession } from './organization-commands.ts'

const OPTIONS = z.object({ question: z.string().optional() })
const CHECK = z.object({
  mistakes: z.array(z.string()),
  rules: z.number(),
  tests: z.array(z.object({ test: z.string(), holds: z.boolean(), found: z.string() })),
  answers: z.array(z.object({ family: z.number(), verdict: z.string() })),
})
type Check = z.output<typeof CHECK>

/** @param policy the command `policy` */
export function addDryRunCommand(policy: Command): void {
  const dryRun = policy
    .command('dry-run')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .option('--question <question>', 'may it? "laptop -> db:5432 tcp"')
    .description('have the registry read a policy and run its tests, and put nothing in force')
  withSession(dryRun, async ({ api, home, say }, file) => {
    const text = await textOf(file)
    const { question } = OPTIONS.parse(dryRun.opts())
    const wanted = { text, ...(question !== undefined && { question }) }
    const answer = await api.ask('POST', `${await home()}/policy/check`, wanted)
    const check = CHECK.parse(answer)
    say(checkText(check), answer)
    const { mistakes, tests } = check
    const failed = tests.filter(({ holds }) => !holds).length
    if (mistakes.length + failed === 0) return
    const why = mistakes.length > 0 ? 'it has mistakes' : `${failed} of its tests do not hold`
    throw new OperatorError('ERR_USAGE', `${file} would not be put in force: ${why}`)
  })
}

function checkText({ mistakes, rules, tests, answers }: Check): string {
  const failed = tests.filter(({ holds }) => !holds)
  return [
    ...mistakes.map((each) => `mistake: ${each}`),
    `${rules} rules; ${tests.length - failed.length} of ${tests.length} tests hold`,
    ...failed.map(({ test, found }) => `does not hold: ${test} (found: ${found})`),
    ...answers.map(({ family, verdict }) => `IPv${family}: ${verdict}`),
  ]
    .map(printable)
    .join('\n')
}
