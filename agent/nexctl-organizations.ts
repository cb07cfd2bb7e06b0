/** nexctl's commands about the organizations that this device is in. */
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import { listOrganizations, ORGANIZATION_COLUMNS } from './admin/organization-commands.ts'
import { printed, tableText } from './admin/output.ts'
import { openSession, optionsOf } from './admin/session.ts'
import { columns } from './columns.ts'
import { ask } from './control/client.ts'
import {
  ORGANIZATION_CHANGED,
  ORGANIZATIONS,
  type OrganizationChange,
  type OrganizationReport,
} from './control/organization-report.ts'
import { explain, OperatorError } from './errors.ts'
import { printable } from './printable.ts'
import { systemClock as clock } from './system-clock.ts'

const CALL = '/v1/organizations'
/** Milliseconds between questions whether it is in. */
const LOOK_MS = 500
/** Milliseconds before one that ends again and again is given up. */
const PATIENCE_MS = 60_000

/** Where the organization that is meant answers. @param wanted label, id or name; undefined: the first one
 *  Throws OperatorError where this device is in none that is called so, or in several. */
export async function socketOf(socket: string, wanted: string | undefined): Promise<string> {
  if (wanted === undefined) return socket
  const { socket: found, label, reason } = picked(await ask(socket, ORGANIZATIONS, CALL), wanted)
  if (found !== '') return found
  throw new OperatorError('ERR_CONTROL', printable(`${label} does not run: ${reason}`))
}

/** By label first, for labels are the operator's own. Throws OperatorError. */
export function picked(all: readonly OrganizationReport[], wanted: string): OrganizationReport {
  const byLabel = all.filter(({ label }) => label === wanted)
  const named = all.filter(({ organization: at }) => at?.id === wanted || at?.name === wanted)
  const [only, ...more] = byLabel.length > 0 ? byLabel : named
  if (only !== undefined && more.length === 0) return only
  const labels = all.map(({ label, organization: at }) => `${label} (${at?.name ?? 'not in yet'})`)
  throw new OperatorError(
    'ERR_USAGE',
    `${only === undefined ? 'this device is in no organization' : 'several organizations are called'} "${wanted}" (--organization by label, one of: ${printable(labels.join(', '))})`,
  )
}

export function addLocalOrganizationCommands(organization: Command, program: Command): void {
  const asked = <T>(shape: z.ZodType<T>, body?: OrganizationChange): Promise<T> => {
    const { socket } = program.opts<{ socket: string }>()
    return ask(socket, shape, CALL, body)
  }
  addAdd(organization, asked)
  addRemove(organization, asked)
  const list = organization
    .command('list')
    .option('--local', 'only those that this device is in')
    .option('--registry', 'only those that you belong to')
    .description('those that this device is in and, after nexctl login, those that you belong to')
  list.action(async ({ local, registry }: { local?: true; registry?: true }) => {
    const here = () => asked(ORGANIZATIONS)
    const { output } = optionsOf(list)
    const print = (value: unknown, column: () => string): void =>
      void process.stdout.write(`${printed(output, value, column)}\n`)
    if (registry === true) return listOrganizations(await openSession(list))
    if (local !== true) return listBoth(list, here, print)
    const found = await here()
    print(found, () => organizationsText(found))
  })
}

type Ask = <T>(shape: z.ZodType<T>, body?: OrganizationChange) => Promise<T>

interface AddOptions {
  readonly label?: string
  readonly registrationKey?: string
  readonly allowPublicRoutes?: true
}

function addAdd(organization: Command, asked: Ask): void {
  const add = organization
    .command('add')
    .argument('<registry>', 'https://host or https://host#organization')
    .option('--label <label>', 'what to call it here (made of the registry’s name)')
    .addOption(
      new Option('--registration-key <key>', 'enrol without a person (nrk_…)').env(
        'NEXODUS_REGISTRATION_KEY',
      ),
    )
    .option(
      '--allow-public-routes',
      'let it have addresses and names of the internet, which others may need',
    )
    .description('bring this device into one more organization, with a tunnel and keys of its own')
  add.action(async (registry: string, options: AddOptions) => {
    const { label, registrationKey, allowPublicRoutes } = options
    const change = {
      ...({ action: 'add', registry } as const),
      ...(label === undefined ? {} : { label }),
      ...(registrationKey === undefined ? {} : { registrationKey }),
      ...(allowPublicRoutes === undefined ? {} : { allowPublicRoutes }),
    }
    const begun = await asked(ORGANIZATION_CHANGED, change)
    const found = await followed(begun.label, asked)
    const { output } = optionsOf(add)
    process.stdout.write(`${printed(output, found, () => addedText(found))}\n`)
    if (found.isRefused) throw refusedError(found)
  })
}

function addRemove(organization: Command, asked: Ask): void {
  const remove = organization
    .command('remove')
    .argument('<label>', 'as organization list shows it')
    .option('--forget', 'delete its keys, too, and all that is known of it')
    .description('take this device out of a further organization')
  remove.action(async (label: string, { forget }: { forget?: true }) => {
    const isForgotten = forget === true
    const done = await asked(ORGANIZATION_CHANGED, { action: 'remove', label, forget: isForgotten })
    const text = isForgotten
      ? `${label} is removed, and its keys are deleted; the registry still lists the device`
      : `${label} is removed; its keys stay in ${done.folder} (organization add with --label ${label} uses them again, --forget deletes them)`
    process.stdout.write(`${printed(optionsOf(remove).output, done, () => text)}\n`)
  })
}

/** Tells the person what to do, once; resolves when it is in. Throws OperatorError where it failed, and then nothing of
 *  it is left; or where it does not start, and then nexd goes on trying. */
async function followed(label: string, asked: Ask): Promise<OrganizationReport> {
  let told = ''
  const startedMs = clock.monotonicMs()
  for (;;) {
    const found = picked(await asked(ORGANIZATIONS), label)
    const { state, reason = `${label} ended` } = found
    if (state === 'running') return found
    if (state === 'failed') {
      const forget = found.organization === undefined
      await asked(ORGANIZATION_CHANGED, { action: 'remove', label, forget })
      throw new OperatorError('ERR_ENROLMENT', printable(reason))
    }
    if (state === 'restarting' && clock.monotonicMs() - startedMs > PATIENCE_MS)
      throw new OperatorError('ERR_ENROLMENT', `${printable(reason)} (nexd goes on trying)`)
    const text = state === 'waiting' ? waitingText(found) : ''
    if (text !== told) process.stderr.write(text)
    told = text
    await clock.sleep(LOOK_MS)
  }
}

function waitingText({ link, code, fingerprint, reason }: OrganizationReport): string {
  if (link === undefined) return `Approved: waiting, for ${printable(reason ?? 'an admin')}.\n`
  return `Sign in, compare the fingerprint and approve this device:
  open: ${printable(link)}
  code: ${printable(code ?? '')}
  fingerprint: ${printable(fingerprint ?? '')}
`
}

function addedText({
  label,
  organization,
  addresses,
  interface: name,
  refused,
}: OrganizationReport) {
  const where = addresses.length === 0 ? 'without an address' : `as ${addresses.join(' ')}`
  return [
    `in ${printable(organization?.name ?? 'it')}, called ${label} here, ${where} on ${name}`,
    ...refused.map((each) => `  ${printable(each)}`),
  ].join('\n')
}

function refusedError({ label }: OrganizationReport): OperatorError {
  return new OperatorError(
    'ERR_ORGANIZATION',
    `${label} can't be carried beside the others on this host (nexctl organization remove ${label} --forget)`,
  )
}

async function listBoth(
  list: Command,
  here: () => Promise<readonly OrganizationReport[]>,
  print: (value: unknown, column: () => string) => void,
): Promise<void> {
  const errors: unknown[] = []
  const orError = (error: unknown): undefined => {
    if (!(error instanceof OperatorError)) throw error
    errors.push(error)
  }
  const device = await here().catch(orError)
  const user = await openSession(list)
    .then(({ api }) => api.wholeList('/organizations', 'organizations'))
    .catch(orError)
  if (device === undefined && user === undefined)
    throw new OperatorError('ERR_USAGE', errors.map(explain).join('; '))
  print({ ...(device && { device }), ...(user && { user }) }, () =>
    [
      ...(device === undefined ? [] : ['this device is in', organizationsText(device)]),
      ...(user === undefined ? [] : ['you belong to', tableText(ORGANIZATION_COLUMNS, user)]),
    ].join('\n'),
  )
}

export function organizationsText(found: readonly OrganizationReport[]): string {
  const table = columns(
    ['LABEL', 'ORGANIZATION', 'STATE', 'ADDRESSES', 'INTERFACE', 'REGISTRY'],
    found.map(({ label, organization, state, addresses, interface: name, registry }) =>
      [label, organization?.name, state, addresses.join(' '), name, registry].map((text) =>
        printable(text || '-'),
      ),
    ),
  )
  const notes = found.flatMap(({ label, reason, link, code, refused }) => [
    ...(reason === undefined ? [] : [`${label}: ${reason}`]),
    ...(link === undefined ? [] : [`${label}: waits for a person: open ${link}, code ${code}`]),
    ...refused.map((each) => `${label}: ${each}`),
  ])
  return [table, ...notes.map(printable)].join('\n')
}
