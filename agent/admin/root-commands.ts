/** nexctl's commands about the root key of an organization, and its issuer. */
import type { Command } from 'commander'
import { z } from 'zod'
import { randomBytes } from '../../crypto/random.ts'
import { systemClock } from '../system-clock.ts'
import { issuerDetails } from './issuer-details.ts'
import { withSession } from './organization-commands.ts'
import {
  certificateIn,
  exportRoot,
  importRoot,
  requireRootFile,
  signRequest,
} from './root-custody.ts'
import { readPassphrase, textOf } from './root-file.ts'
import { type AdminSession, pick } from './session.ts'

const PASSPHRASE = [
  '--passphrase-file <path>',
  'the file is sealed with the first line of this one',
] as const
const WITH_TOKEN = 'needs nexctl login --scope read root'

const FILE_OPTIONS = z.object({ passphraseFile: z.string().optional() })
const REQUEST_OPTIONS = z.object({
  rotate: z.literal(true).optional(),
  approver: z.array(z.string()).optional(),
  lock: z.boolean(),
})
const CHANGE_OPTIONS = z.object({ atOnce: z.literal(true).optional() })

/** @param organization the command `organization` */
export function addRootCommands(organization: Command): void {
  const root = organization
    .command('root')
    .description('the root key, on which everything rests, and what it signs')
  addFileCommands(root)
  addSigningCommands(root)
  const rotate = organization
    .command('rotate-issuer')
    .option('--at-once', 'the key may be known to others: what it has signed counts no more')
    .description(`have another issuer sign, where the registry has the root key (${WITH_TOKEN})`)
  withSession(rotate, async ({ api, home, show }) =>
    show(issuerDetails(await api.ask('POST', `${await home()}/issuer/rotations`, howOf(rotate)))),
  )
}

function addFileCommands(root: Command): void {
  const out = root
    .command('export')
    .argument('<file>', 'to write')
    .option(...PASSPHRASE)
    .description(`take the key out of the registry, which forgets it (${WITH_TOKEN})`)
  withSession(out, async (session, path) => {
    const file = { path, passphrase: await passphraseOf(out) }
    await exportRoot(await partsOf(session), file)
    const line = `The root key is in ${path}, and the registry has forgotten it. Keep it offline, and a copy: it cannot be had again.`
    session.say(line, { file: path })
  })
  const back = root
    .command('import')
    .argument('<file>', 'as exported')
    .option(...PASSPHRASE)
    .description(`put the key back into the registry (${WITH_TOKEN})`)
  withSession(back, async (session, path) => {
    const file = { path, passphrase: await passphraseOf(back) }
    await importRoot(await partsOf(session), file)
    session.say('The registry has the root key again.', {})
  })
}

function addSigningCommands(root: Command): void {
  const request = root
    .command('request')
    .option('--rotate', 'for another issuer key')
    .option('--approver <device...>', 'lock: members need the approval of one of these')
    .option('--no-lock', 'members need nobody’s approval any more')
    .description(`print what the registry wants to be signed (${WITH_TOKEN})`)
  withSession(request, async (session) => {
    const { rotate = false, approver, lock } = REQUEST_OPTIONS.parse(request.opts())
    const approvers = lock ? approver && (await devicesOf(session, approver)) : []
    const wanted = { rotate, ...(approvers !== undefined && { approvers }) }
    const path = `${await session.home()}/issuer/requests`
    process.stdout.write(String((await session.api.ask('POST', path, wanted))['request']))
  })
  const sign = root
    .command('sign')
    .argument('<request>', 'file; - for standard input')
    .requiredOption('--key <file>', 'the root key, as exported')
    .option(...PASSPHRASE)
    .description('sign a request; needs no network. Shows it, and prints the certificate')
  sign.action(async (path: string, { key }: { key: string }) => {
    const root = await requireRootFile({ path: key, passphrase: await passphraseOf(sign) })
    const { shown, certificate } = signRequest(await textOf(path), root, systemClock.now())
    process.stderr.write(`Signed:\n${shown}`)
    process.stdout.write(certificate)
  })
  const install = root
    .command('install')
    .argument('<certificate>', 'file, as sign has printed it; - for standard input')
    .option('--at-once', 'the issuer key before may be known to others: it counts no more')
    .description(`give the registry what was signed (${WITH_TOKEN})`)
  withSession(install, async ({ api, home, show }, path) => {
    const wanted = { certificate: certificateIn(await textOf(path)), ...howOf(install) }
    show(issuerDetails(await api.ask('POST', `${await home()}/issuer/certificates`, wanted)))
  })
}

async function partsOf({ api, home }: AdminSession) {
  return { api, home: await home(), now: () => systemClock.now(), randomBytes }
}

function passphraseOf(command: Command): Promise<string | undefined> {
  return readPassphrase(FILE_OPTIONS.parse(command.opts()).passphraseFile)
}

function howOf(command: Command): { readonly how: string } {
  return { how: CHANGE_OPTIONS.parse(command.opts()).atOnce === true ? 'at-once' : 'overlap' }
}

async function devicesOf(session: AdminSession, wanted: readonly string[]) {
  const devices = await session.api.list(`${await session.home()}/devices`, 'devices')
  return wanted.map((each) => pick(devices, each).id)
}
