/** nexctl's commands about an organization's devices and registration keys. */
import type { Command } from 'commander'
import { days, withSession } from './organization-commands.ts'
import { type AdminSession, openSession, pick } from './session.ts'

const DEVICE_COLUMNS = [
  ['NAME', 'name'],
  ['ADDRESSES', 'addresses'],
  ['OWNER', 'owner'],
  ['ONLINE', 'online'],
  ['GROUPS', 'groups'],
  ['PREFIXES', 'prefixes'],
  ['ROLES', 'roles'],
  ['RENEWED', 'renewedAt'],
] as const

interface Changes {
  readonly name?: string
  readonly group?: string[]
  readonly prefix?: string[]
  readonly role?: string[]
}

const devices = async ({ api, home }: AdminSession) =>
  api.list(`${await home()}/devices`, 'devices')

export function addDeviceCommands(program: Command): void {
  const device = program.command('device').description("the organization's devices")
  const path = async (session: AdminSession, wanted: string) =>
    `${await session.home()}/devices/${pick(await devices(session), wanted).id}`
  withSession(device.command('list').description('every device'), async (session) =>
    session.table(await devices(session), DEVICE_COLUMNS),
  )
  withSession(
    device.command('show').argument('<device>', 'name or id').description('all about one'),
    async (session, wanted) =>
      session.show(await session.api.ask('GET', await path(session, wanted))),
  )
  const update = device
    .command('update')
    .argument('<device>', 'name or id')
    .option('--name <name>', 'another name')
    .option('--group <groups...>', 'its groups, instead of those it has')
    .option('--prefix <prefixes...>', 'what it may advertise, instead of what it may')
    .option('--role <roles...>', 'its roles, instead of those it has')
    .description('rename it, or grant it something')
  update.action(async (wanted: string, { name, group, prefix, role }: Changes) => {
    const session = await openSession(update)
    const change = {
      ...(name !== undefined && { name }),
      ...(group !== undefined && { groups: group }),
      ...(prefix !== undefined && { prefixes: prefix }),
      ...(role !== undefined && { roles: role }),
    }
    session.show(await session.api.ask('PATCH', await path(session, wanted), change))
  })
  withSession(
    device
      .command('remove')
      .argument('<device>', 'name or id')
      .description('remove it: its certificates are revoked'),
    async (session, wanted) => {
      await session.api.ask('DELETE', await path(session, wanted))
      session.say(`${wanted} is removed`, {})
    },
  )
}

interface KeyOptions {
  readonly description: string
  readonly reusable?: true
  readonly days: number
  readonly group?: string[]
  readonly ephemeral?: number
}

export function addRegistrationKeyCommands(program: Command): void {
  const key = program
    .command('registration-key')
    .description('secrets that let devices in without a person')
  const keys = async ({ api, home }: AdminSession) =>
    api.list(`${await home()}/registration-keys`, 'registrationKeys')
  withSession(key.command('list').description('every key, without its secret'), async (session) =>
    session.table(await keys(session), [
      ['ID', 'id'],
      ['DESCRIPTION', 'description'],
      ['SINGLE USE', 'singleUse'],
      ['USES', 'uses'],
      ['GROUPS', 'groups'],
      ['EXPIRES', 'expiresAt'],
    ]),
  )
  const create = key
    .command('create')
    .requiredOption('--description <text>', 'what it is for')
    .option('--reusable', 'for any number of devices')
    .option('--days <n>', 'until it expires', days, 1)
    .option('--group <groups...>', 'of the devices it lets in')
    .option('--ephemeral <seconds>', 'its devices are removed when away for so long', Number)
    .description('make one; the secret is shown once')
  create.action(async ({ description, reusable, days: lasts, group, ephemeral }: KeyOptions) => {
    const { api, home, show } = await openSession(create)
    const wanted = {
      ...{ description, singleUse: reusable !== true, lifetime: Math.round(lasts * 86_400) },
      ...(group !== undefined && { groups: group }),
      ...(ephemeral !== undefined && { ephemeralAfter: ephemeral }),
    }
    show(await api.ask('POST', `${await home()}/registration-keys`, wanted))
  })
  withSession(
    key.command('revoke').argument('<key>', 'id or description').description('revoke one'),
    async (session, wanted) => {
      const { id } = pick(await keys(session), wanted)
      await session.api.ask('DELETE', `${await session.home()}/registration-keys/${id}`)
      session.say('revoked', {})
    },
  )
}

export function addJoinRequestCommands(program: Command): void {
  const request = program
    .command('join-request')
    .description('devices that a member let in and an admin has to agree to')
  const waiting = async ({ api, home }: AdminSession) =>
    api.wholeList(`${await home()}/join-requests`, 'joinRequests')
  withSession(request.command('list').description('those that wait'), async (session) =>
    session.table(await waiting(session), [
      ['NAME', 'name'],
      ['SYSTEM', 'system'],
      ['OWNER', 'owner'],
      ['FROM', 'requestedFrom'],
      ['FINGERPRINT', 'fingerprint'],
      ['ID', 'id'],
    ]),
  )
  for (const decision of ['approve', 'deny'] as const) {
    withSession(
      request
        .command(decision)
        .argument('<device>', 'name or id of the request')
        .description(decision === 'approve' ? 'let it in' : 'refuse it'),
      async (session, wanted) => {
        const { id } = pick(await waiting(session), wanted)
        const approved = decision === 'approve'
        const path = `${await session.home()}/join-requests/${id}`
        await session.api.ask('POST', path, { approved })
        session.say(approved ? `${wanted} is let in` : `${wanted} is refused`, {})
      },
    )
  }
}
