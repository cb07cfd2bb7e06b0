/** nexctl's commands about an organization's devices and registration keys. */
import type { Command } from 'commander'
import { days, withSession } from './organization-commands.ts'
import type { Json } from './registry-api.ts'
import { type AdminSession, openSession, pick } from './session.ts'

const DEVICE_COLUMNS = [
  ['NAME', 'name'],
  ['ADDRESSES', 'addresses'],
  ['OWNER', 'owner'],
  ['ONLINE', 'online'],
  ['REACHED', 'reached'],
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
  readonly owner?: string
}

/** Every device of the organization. */
export async function devicesIn({ api, home }: AdminSession): Promise<readonly Json[]> {
  return api.list(`${await home()}/devices`, 'devices')
}

/** Of the device that is called so. Throws OperatorError (ERR_USAGE). */
export async function devicePath(session: AdminSession, wanted: string): Promise<string> {
  const { id } = pick(await devicesIn(session), wanted)
  return `${await session.home()}/devices/${id}`
}

/** Returns the command `device`. */
export function addDeviceCommands(program: Command): Command {
  const device = program.command('device').description("the organization's devices")
  withSession(device.command('list').description('every device'), async (session) =>
    session.table(await devicesIn(session), DEVICE_COLUMNS),
  )
  withSession(
    device.command('show').argument('<device>', 'name or id').description('all about one'),
    async (session, wanted) =>
      session.show(await session.api.ask('GET', await devicePath(session, wanted))),
  )
  addUpdateCommand(device)
  withSession(
    device
      .command('remove')
      .argument('<device>', 'name or id')
      .description('remove it: its certificates are revoked'),
    async (session, wanted) => {
      await session.api.ask('DELETE', await devicePath(session, wanted))
      session.say(`${wanted} is removed`, {})
    },
  )
  return device
}

function addUpdateCommand(device: Command): void {
  const update = device
    .command('update')
    .argument('<device>', 'name or id')
    .option('--name <name>', 'another name')
    .option('--group <groups...>', 'its groups, instead of those it has')
    .option('--prefix <prefixes...>', 'what it may advertise, instead of what it may')
    .option('--role <roles...>', 'its roles, instead of those it has')
    .option('--owner <member>', 'name or id of who answers for it from now on')
    .description('rename it, grant it something, or give it to another member')
  update.action(async (wanted: string, { name, group, prefix, role, owner }: Changes) => {
    const session = await openSession(update)
    const change = {
      ...(name !== undefined && { name }),
      ...(group !== undefined && { groups: group }),
      ...(prefix !== undefined && { prefixes: prefix }),
      ...(role !== undefined && { roles: role }),
      ...(owner !== undefined && { ownerId: await memberId(session, owner) }),
    }
    session.show(await session.api.ask('PATCH', await devicePath(session, wanted), change))
  })
}

async function memberId({ api, home }: AdminSession, wanted: string): Promise<string> {
  return pick(await api.list(`${await home()}/members`, 'members'), wanted).id
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
  addOneKeyCommands(key, async (session, wanted) => {
    const { id } = pick(await keys(session), wanted)
    return `${await session.home()}/registration-keys/${id}`
  })
}

type PathOf = (session: AdminSession, wanted: string) => Promise<string>

function addOneKeyCommands(key: Command, pathOf: PathOf): void {
  withSession(
    key
      .command('show')
      .argument('<key>', 'id or description')
      .description('all about one, without its secret'),
    async (session, wanted) =>
      session.show(await session.api.ask('GET', await pathOf(session, wanted))),
  )
  const describe = key
    .command('describe')
    .argument('<key>', 'id or description')
    .argument('<description>', 'what it is for')
    .description('describe one anew')
  describe.action(async (wanted: string, description: string) => {
    const session = await openSession(describe)
    session.show(await session.api.ask('PATCH', await pathOf(session, wanted), { description }))
  })
  withSession(
    key.command('revoke').argument('<key>', 'id or description').description('revoke one'),
    async (session, wanted) => {
      await session.api.ask('DELETE', await pathOf(session, wanted))
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
