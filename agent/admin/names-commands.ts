/** nexctl's commands about the names that an organization adds to those of its devices. */
import { type Command, Option } from 'commander'
import { parse } from 'yaml'
import { z } from 'zod'
import { columns } from '../columns.ts'
import { OperatorError } from '../errors.ts'
import { printable } from '../printable.ts'
import { textOf } from '../text-file.ts'
import { withSession } from './organization-commands.ts'
import { type AdminSession, openSession } from './session.ts'

const KINDS = ['address', 'alias', 'text'] as const
const RECORD = z.strictObject({ kind: z.enum(KINDS), name: z.string(), value: z.string() })
const FORWARD = z.strictObject({ domain: z.string(), resolvers: z.array(z.string()) })
const NAMES = z.strictObject({
  records: z.array(RECORD).default([]),
  forwards: z.array(FORWARD).default([]),
})
type Names = z.output<typeof NAMES>

/** @param organization the command `organization` */
export function addOrganizationNamesCommands(organization: Command): void {
  const names = organization
    .command('names')
    .description(
      'names beside those of the devices: records, and domains that other resolvers know',
    )
  withSession(names.command('show').description('all of them'), async (session) => {
    const all = await namesOf(session)
    session.say(namesText(all), all)
  })
  withSession(
    names
      .command('apply')
      .argument('<file>', 'YAML or JSON, as show --output yaml prints it; - for standard input')
      .description('replace all of them by those of a file'),
    async (session, file) => replace(session, await namesIn(file)),
  )
  addRecordCommands(names)
  addForwardCommands(names)
}

function addRecordCommands(names: Command): void {
  const record = names.command('record').description('addresses, aliases and texts')
  const add = record
    .command('add')
    .argument('<name>', "relative to the organization's domain; @ for the domain itself")
    .argument('<value>', "an address, a name in the organization's domain, or text")
    .addOption(new Option('--kind <kind>', 'what it is').choices(KINDS).default('address'))
    .description('add one')
  add.action(async (name: string, value: string, { kind }: { kind: (typeof KINDS)[number] }) => {
    const session = await openSession(add)
    const { records, forwards } = await namesOf(session)
    const more = { kind, name: relative(name), value }
    await replace(session, { records: [...records, more], forwards })
  })
  const remove = record
    .command('remove')
    .argument('<name>', 'as show tells it')
    .argument('[value]', 'only the one with this value')
    .description('remove those of a name')
  remove.action(async (name: string, value: string | undefined) => {
    const session = await openSession(remove)
    const { records, forwards } = await namesOf(session)
    const left = records.filter(
      (each) => each.name !== relative(name) || (value !== undefined && each.value !== value),
    )
    if (left.length === records.length) throw missing('record', name)
    await replace(session, { records: left, forwards })
  })
}

function addForwardCommands(names: Command): void {
  const forward = names.command('forward').description('domains that other resolvers know')
  const set = forward
    .command('set')
    .argument('<domain>')
    .argument('<resolver...>', 'address:port')
    .description('ask these for the names of a domain')
  set.action(async (domain: string, resolvers: readonly string[]) => {
    const session = await openSession(set)
    const { records, forwards } = await namesOf(session)
    const others = forwards.filter((each) => each.domain !== domain)
    await replace(session, {
      records,
      forwards: [...others, { domain, resolvers: [...resolvers] }],
    })
  })
  const remove = forward.command('remove').argument('<domain>').description('ask nobody for them')
  remove.action(async (domain: string) => {
    const session = await openSession(remove)
    const { records, forwards } = await namesOf(session)
    const left = forwards.filter((each) => each.domain !== domain)
    if (left.length === forwards.length) throw missing('forward', domain)
    await replace(session, { records, forwards: left })
  })
}

async function namesOf({ api, home }: AdminSession): Promise<Names> {
  return NAMES.parse(await api.ask('GET', `${await home()}/names`))
}

async function replace({ api, home, say }: AdminSession, wanted: Names): Promise<void> {
  const set = NAMES.parse(await api.ask('PUT', `${await home()}/names`, wanted))
  say(namesText(set), set)
}

/** Throws OperatorError (ERR_USAGE). */
async function namesIn(file: string): Promise<Names> {
  const text = await textOf(file)
  try {
    return NAMES.parse(parse(text))
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined
    const why =
      issue === undefined ? 'it is no YAML' : `${issue.path.join('.') || 'it'}: ${issue.message}`
    throw new OperatorError('ERR_USAGE', `${file}: ${printable(why)}`, { cause })
  }
}

function missing(what: string, name: string): OperatorError {
  return new OperatorError('ERR_USAGE', `there is no ${what} "${printable(name)}"`)
}

/** `@`, of the domain itself, is no name. */
function relative(name: string): string {
  return name === '@' ? '' : name
}

function namesText({ records, forwards }: Names): string {
  const rows = [
    ...records.map(({ kind, name, value }) => [name === '' ? '@' : name, kind, value]),
    ...forwards.map(({ domain, resolvers }) => [domain, 'forward', resolvers.join(' ')]),
  ].map((row) => row.map(printable))
  return rows.length === 0 ? 'none' : columns(['NAME', 'KIND', 'VALUE'], rows)
}
