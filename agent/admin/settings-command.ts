/** nexctl's command about the rules of an organization. */
import { type Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../columns.ts'
import { durationOr, durationText } from './duration.ts'
import { withSession } from './organization-commands.ts'

const SETTINGS = z.object({
  approvalRequired: z.boolean(),
  /** Seconds; absent: the registry's own rule. */
  membershipLifetime: z.number().optional(),
  /** Seconds; absent: never. */
  reauthenticateAfter: z.number().optional(),
})
/** What takes a rule away is null to the registry. */
const LENGTH = z.number().transform((seconds) => (seconds === 0 ? null : seconds))
const CHANGE = z.object({
  approvalRequired: z.enum(['yes', 'no']).optional(),
  membershipLifetime: LENGTH.optional(),
  reauthenticateAfter: LENGTH.optional(),
})

/** @param organization the command `organization` */
export function addSettingsCommand(organization: Command): void {
  const settings = organization
    .command('settings')
    .addOption(
      new Option(
        '--approval-required <answer>',
        'must an admin agree to every device that a member brings in',
      ).choices(['yes', 'no']),
    )
    .option(
      '--membership-lifetime <time>',
      'how long certificates last, as 12h; default: as the registry says',
      durationOr('default'),
    )
    .option(
      '--reauthenticate-after <time>',
      'when owners of devices must sign in again, as 30d; or never',
      durationOr('never'),
    )
    .description('its rules, and how to change them')
  withSession(settings, async ({ api, home, say }) => {
    const { approvalRequired, ...lengths } = CHANGE.parse(settings.opts())
    const change = {
      ...lengths,
      ...(approvalRequired !== undefined && { approvalRequired: approvalRequired === 'yes' }),
    }
    const isChange = Object.keys(change).length > 0
    const path = await home()
    const rules = SETTINGS.parse(
      await (isChange ? api.ask('PATCH', path, change) : api.ask('GET', path)),
    )
    say(settingsText(rules), rules)
  })
}

function settingsText(rules: z.output<typeof SETTINGS>): string {
  const { approvalRequired, membershipLifetime, reauthenticateAfter } = rules
  return columns(
    [],
    [
      ['approval required', approvalRequired ? 'yes' : 'no'],
      [
        'membership lifetime',
        membershipLifetime === undefined
          ? 'as the registry says'
          : durationText(membershipLifetime),
      ],
      [
        'reauthenticate after',
        reauthenticateAfter === undefined ? 'never' : durationText(reauthenticateAfter),
      ],
    ],
  )
}
