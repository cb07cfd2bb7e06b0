/** nexctl's command about the user who has logged in. */
import { type Command, Option } from 'commander'
import { showAudit } from './audit-commands.ts'
import { withSession } from './organization-commands.ts'
import { openSession } from './session.ts'

interface Deletion {
  readonly confirm: string
  readonly devices: string
}

export function addUserCommands(program: Command): void {
  const user = program.command('user').description('your own user at the registry')
  withSession(
    user.command('audit').description('what was changed of your own, the newest first'),
    (session) => showAudit(session, '/user/audit'),
  )
  const remove = user
    .command('delete')
    .requiredOption('--confirm <name>', 'your name, as whoami tells it: there is no way back')
    .addOption(
      new Option('--devices <what>', 'your devices are revoked, or go to an owner')
        .choices(['revoke', 'transfer'])
        .default('revoke'),
    )
    .description('leave every organization, and be no user any more')
  remove.action(async ({ confirm, devices }: Deletion) => {
    const { api, say } = await openSession(remove)
    await api.ask('DELETE', `/user?${new URLSearchParams({ confirm, devices })}`)
    say(`${confirm} is deleted`, {})
  })
}
