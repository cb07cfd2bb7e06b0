/** nexctl's commands about invitations for who is invited: by a link, or to an e-mail address of theirs. */
import type { Command } from 'commander'
import { OperatorError } from '../errors.ts'
import { printable } from '../printable.ts'
import { withSession } from './organization-commands.ts'
import type { Json, RegistryApi } from './registry-api.ts'

/** @param invitation the command `invitation` */
export function addOwnInvitationCommands(invitation: Command): void {
  withSession(
    invitation.command('received').description('those to your e-mail address'),
    async ({ api, table }) =>
      table(await received(api), [
        ['ORGANIZATION', 'organizationName'],
        ['ROLE', 'role'],
        ['BY', 'invitedBy'],
        ['EXPIRES', 'expiresAt'],
        ['ID', 'id'],
      ]),
  )
  withSession(
    invitation
      .command('accept')
      .argument(
        '<invitation>',
        'a link, the secret at its end, or id or organization of one received',
      )
      .description('join the organization that it is of'),
    async ({ api, show }, wanted) => {
      const found = wanted.includes('/') ? undefined : receivedAs(await received(api), wanted)
      show(
        await (found === undefined
          ? api.ask('POST', '/invitation-links', { secret: wanted.split('/').at(-1) ?? '' })
          : api.ask('POST', `/invitations/${found}/acceptance`)),
      )
    },
  )
  withSession(
    invitation
      .command('decline')
      .argument('<invitation>', 'id or organization of one received')
      .description('refuse it'),
    async ({ api, say }, wanted) => {
      const found = receivedAs(await received(api), wanted)
      if (found === undefined) {
        throw new OperatorError('ERR_USAGE', `no invitation "${printable(wanted)}" was received`)
      }
      await api.ask('DELETE', `/invitations/${found}`)
      say('declined', {})
    },
  )
}

function received(api: RegistryApi): Promise<readonly Json[]> {
  return api.wholeList('/invitations', 'invitations')
}

/** Its id. Throws OperatorError where several are called so: anybody may name an organization as they like. */
function receivedAs(all: readonly Json[], wanted: string): string | undefined {
  const found = all.filter(
    ({ id, organizationName }) => id === wanted || organizationName === wanted,
  )
  if (found.length <= 1) return found[0] && String(found[0]['id'])
  throw new OperatorError(
    'ERR_USAGE',
    `several invitations are of "${printable(wanted)}" (name it by its id)`,
  )
}
