/** nexctl's commands for the registry: login and tokens; and all others of agent/admin/. */
import { type Command, Option } from 'commander'
import { systemClock } from '../system-clock.ts'
import { addAuditCommands } from './audit-commands.ts'
import {
  addDeviceCommands,
  addJoinRequestCommands,
  addRegistrationKeyCommands,
} from './device-commands.ts'
import { addDeviceMetadataCommands } from './device-metadata-commands.ts'
import { addDeviceRequestCommands } from './device-request-commands.ts'
import { addEventCommands } from './event-commands.ts'
import { LOGIN_SCOPES, logIn } from './login.ts'
import { defaultLoginFile, readLogin, removeLogin } from './login-file.ts'
import { addOrganizationNamesCommands } from './names-commands.ts'
import { addNetworkCommands } from './network-commands.ts'
import {
  addInvitationCommands,
  addMemberCommands,
  addOrganizationCommands,
  days,
  withSession,
} from './organization-commands.ts'
import { addOwnInvitationCommands } from './own-invitation-commands.ts'
import { openRegistryApi } from './registry-api.ts'
import { addRootCommands } from './root-commands.ts'
import { type AdminSession, openSession, optionsOf, pick } from './session.ts'
import { addSettingsCommand } from './settings-command.ts'
import { addUserCommands } from './user-commands.ts'

/** Returns the command `organization`. */
export function addRegistryCommands(program: Command): Command {
  program
    .addOption(
      new Option('--login-file <path>', 'where nexctl login keeps its token')
        .default(defaultLoginFile(process.env))
        .env('NEXODUS_LOGIN_FILE'),
    )
    .addOption(
      new Option(
        '--organization <name>',
        'name or id, where you have several; of this device its label, too (the first; never from the environment)',
      ).env('NEXODUS_ORGANIZATION'),
    )
  addLoginCommands(program)
  const organization = addOrganizationCommands(program)
  addRootCommands(organization)
  addMemberCommands(program)
  addSettingsCommand(organization)
  addOrganizationNamesCommands(organization)
  addOwnInvitationCommands(addInvitationCommands(program))
  const device = addDeviceCommands(program)
  addDeviceRequestCommands(device)
  addDeviceMetadataCommands(device)
  addJoinRequestCommands(program)
  addRegistrationKeyCommands(program)
  addNetworkCommands(program)
  addEventCommands(program)
  addTokenCommands(program)
  addUserCommands(program)
  addAuditCommands(program)
  return organization
}

interface LoginOptions {
  readonly registry: string
  readonly scope?: string[]
  readonly days: number
  readonly insecureHttp?: true
}

function addLoginCommands(program: Command): void {
  const login = program
    .command('login')
    .requiredOption('--registry <url>', 'where the registry is')
    .option('--scope <scopes...>', 'what the token is good for (all but root)')
    .option('--days <n>', 'how long it is good', days, 30)
    .option('--insecure-http', 'send the token over http that others can read (laboratories only)')
    .description('log in at a registry, by a page that you open in a browser')
  login.action(async ({ registry, scope, days: lasts, insecureHttp }: LoginOptions) => {
    const { loginFile } = optionsOf(login)
    const scopes = scope ?? LOGIN_SCOPES
    const wanted = { registry, scopes, days: lasts, insecureHttp: insecureHttp === true }
    const say = (line: string) => void process.stderr.write(`${line}\n`)
    await logIn(loginFile, wanted, { clock: systemClock, say })
    say('Logged in.')
  })
  const logout = program.command('logout').description('give the token up')
  logout.action(async () => {
    const { loginFile } = optionsOf(logout)
    const { registry, token } = await readLogin(loginFile)
    await openRegistryApi(registry).ask('POST', '/revoke', { token })
    await removeLogin(loginFile)
    process.stderr.write('Logged out.\n')
  })
  withSession(
    program.command('whoami').description('who you are at the registry, and until when'),
    async ({ api, show }) => show(await api.ask('GET', '/user')),
  )
}

interface TokenOptions {
  readonly description: string
  readonly scope: string[]
  readonly days?: number
}

function addTokenCommands(program: Command): void {
  const token = program.command('token').description('API tokens of yours, for programs')
  const tokens = ({ api }: AdminSession) => api.list('/user/tokens', 'tokens')
  withSession(
    token.command('list').description('every token, without its secret'),
    async (session) =>
      session.table(await tokens(session), [
        ['ID', 'id'],
        ['DESCRIPTION', 'description'],
        ['SCOPES', 'scopes'],
        ['USED', 'usedAt'],
        ['FROM', 'usedFrom'],
        ['EXPIRES', 'expiresAt'],
      ]),
  )
  const create = token
    .command('create')
    .requiredOption('--description <text>', 'what it is for')
    .requiredOption('--scope <scopes...>', 'what it is good for')
    .option('--days <n>', 'how long it is good (30, or as long as the login)', days)
    .description('make one; the secret is shown once')
  create.action(async ({ description, scope, days: lasts }: TokenOptions) => {
    const { api, show } = await openSession(create)
    const lifetime = lasts !== undefined && { lifetime: Math.round(lasts * 86_400) }
    const wanted = { description, scopes: scope, ...lifetime }
    show(await api.ask('POST', '/user/tokens', wanted))
  })
  withSession(
    token.command('revoke').argument('<token>', 'id or description').description('revoke one'),
    async (session, wanted) => {
      const { id } = pick(await tokens(session), wanted)
      await session.api.ask('DELETE', `/user/tokens/${id}`)
      session.say('revoked', {})
    },
  )
}
