/** nexctl's commands about organizations, their members and invitations. */
import { type Command, InvalidArgumentError } from 'commander'
import { issuerDetails } from './issuer-details.ts'
import { type AdminSession, openSession, pick } from './session.ts'

type Run = (session: AdminSession, argument: string, options: Options) => Promise<void>
interface Options {
  readonly force?: true
  readonly email?: string
  readonly role?: string
  readonly days?: number
  readonly ipv4Range?: string
  readonly ipv6Range?: string
  readonly devices?: string
  readonly transferTo?: string
}

/** A number of days, more than none. Throws InvalidArgumentError. */
export function days(text: string): number {
  const parsed = Number(text)
  if (parsed > 0 && parsed <= 365) return parsed
  throw new InvalidArgumentError('want a number of days, 365 at most')
}

/** Has the command open a session and run with it. */
export function withSession(command: Command, run: Run): Command {
  return command.action(async (...given: unknown[]) => {
    const [argument] = given
    const session = await openSession(command)
    await run(session, typeof argument === 'string' ? argument : '', command.opts())
  })
}

/** With who signs for it, and until when. */
async function showOrganization({ api, home, show }: AdminSession): Promise<void> {
  const path = await home()
  const issuer = issuerDetails(await api.ask('GET', `${path}/issuer`))
  show({ ...(await api.ask('GET', path)), ...issuer })
}

/** Of those that the user belongs to. */
export const ORGANIZATION_COLUMNS = [
  ['NAME', 'name'],
  ['ID', 'id'],
  ['ROLE', 'role'],
] as const

export async function listOrganizations({ api, table }: AdminSession): Promise<void> {
  table(await api.wholeList('/organizations', 'organizations'), ORGANIZATION_COLUMNS)
}

/** Returns the command `organization`. */
export function addOrganizationCommands(program: Command): Command {
  const organization = program.command('organization').description('your organizations')
  withSession(
    organization.command('show').description('one with its ranges and settings'),
    showOrganization,
  )
  withSession(
    organization
      .command('create')
      .argument('<name>')
      .option('--ipv4-range <prefix>', 'of its addresses; cannot be changed later')
      .option('--ipv6-range <prefix>', 'of its addresses; cannot be changed later')
      .description('make one that you own'),
    async ({ api, show }, name, { ipv4Range, ipv6Range }) => {
      const ranges = { ...(ipv4Range && { ipv4Range }), ...(ipv6Range && { ipv6Range }) }
      show(await api.ask('POST', '/organizations', { name, ...ranges }))
    },
  )
  withSession(
    organization.command('rename').argument('<name>').description('give it another name'),
    async ({ api, home, show }, name) => show(await api.ask('PATCH', await home(), { name })),
  )
  withSession(
    organization
      .command('delete')
      .option('--force', 'although it has devices: they are revoked')
      .description('delete it, for good'),
    async ({ api, home, say }, _, { force }) => {
      await api.ask('DELETE', `${await home()}?force=${force === true}`)
      say('deleted', {})
    },
  )
  return organization
}

const MEMBER_COLUMNS = [
  ['NAME', 'name'],
  ['ROLE', 'role'],
  ['SINCE', 'since'],
  ['SIGNED IN', 'signedInAt'],
  ['ID', 'user'],
] as const

export function addMemberCommands(program: Command): void {
  const member = program.command('member').description('who belongs to the organization')
  const members = async ({ api, home }: AdminSession) =>
    api.list(`${await home()}/members`, 'members')
  const path = async (session: AdminSession, wanted: string) =>
    `${await session.home()}/members/${pick(await members(session), wanted).id}`
  withSession(member.command('list').description('everybody'), async (session) =>
    session.table(await members(session), MEMBER_COLUMNS),
  )
  withSession(
    member
      .command('change')
      .argument('<member>', 'name or id')
      .requiredOption('--role <role>', 'owner, admin or member')
      .description('give another role'),
    async (session, wanted, { role }) => {
      await session.api.ask('PATCH', await path(session, wanted), { role })
      session.say(`${wanted} is ${role}`, {})
    },
  )
  withSession(
    member
      .command('remove')
      .argument('<member>', 'name or id')
      .option('--devices <what>', 'keep, revoke or transfer', 'keep')
      .option('--transfer-to <member>', 'who gets them, with --devices transfer')
      .description('remove, or leave'),
    async (session, wanted, { devices = 'keep', transferTo }) => {
      const everybody = await members(session)
      const to = transferTo === undefined ? '' : `&transferTo=${pick(everybody, transferTo).id}`
      const who = pick(everybody, wanted).id
      const query = `devices=${encodeURIComponent(devices)}${to}`
      await session.api.ask('DELETE', `${await session.home()}/members/${who}?${query}`)
      session.say(`${wanted} is no member any more`, {})
    },
  )
}

/** Returns the command `invitation`. */
export function addInvitationCommands(program: Command): Command {
  const invitation = program.command('invitation').description('invitations to the organization')
  const listed = async ({ api, home }: AdminSession) =>
    api.wholeList(`${await home()}/invitations`, 'invitations')
  withSession(invitation.command('list').description('those that wait'), async (session) =>
    session.table(await listed(session), [
      ['ID', 'id'],
      ['E-MAIL', 'email'],
      ['ROLE', 'role'],
      ['BY', 'invitedBy'],
      ['EXPIRES', 'expiresAt'],
      ['ACCEPTED', 'accepted'],
    ]),
  )
  withSession(
    invitation
      .command('create')
      .option('--email <address>', 'only who proves it may accept; without, whoever has the link')
      .option('--role <role>', 'owner, admin or member', 'member')
      .option('--days <n>', 'until it expires', days, 7)
      .description('invite somebody'),
    async ({ api, home, show }, _, { email, role, days: lasts = 7 }) => {
      const wanted = { role, lifetime: Math.round(lasts * 86_400), ...(email && { email }) }
      show(await api.ask('POST', `${await home()}/invitations`, wanted))
    },
  )
  withSession(
    invitation.command('revoke').argument('<id>').description('take one back'),
    async (session, wanted) => {
      const { id } = pick(await listed(session), wanted)
      await session.api.ask('DELETE', `${await session.home()}/invitations/${id}`)
      session.say('revoked', {})
    },
  )
  return invitation
}
