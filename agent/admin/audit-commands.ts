/** nexctl's commands about the audit log: what was changed in the organization, by whom. */
import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { verifyAuditLog } from '../../protocol/audit-log.ts'
import { OperatorError } from '../errors.ts'
import { withSession } from './organization-commands.ts'
import { printed } from './output.ts'
import { type AdminSession, optionsOf } from './session.ts'

/** @param path of a log */
export async function showAudit({ api, table }: AdminSession, path: string): Promise<void> {
  table(await api.list(path, 'entries'), [
    ['SEQUENCE', 'sequence'],
    ['AT', 'at'],
    ['ACTION', 'action'],
    ['SUBJECT', 'subject'],
    ['WHO', 'who'],
    ['FROM', 'from'],
  ])
}

export function addAuditCommands(program: Command): void {
  const log = program.command('audit').description('what was changed in the organization, by whom')
  withSession(log.command('list').description('the newest first'), async (session) =>
    showAudit(session, `${await session.home()}/audit`),
  )
  withSession(
    log.command('head').description('number and hash of the newest entry, to be kept elsewhere'),
    async ({ api, home, show }) => show(await api.ask('GET', `${await home()}/audit/head`)),
  )
  withSession(
    log
      .command('export')
      .argument('<file>', 'to write; - for standard output')
      .description('the whole log, a line of JSON an entry'),
    async ({ api, home }, file) => {
      const lines = api.stream(`${await home()}/audit/export`)
      await pipeline(
        lines,
        file === '-' ? process.stdout : createWriteStream(file, { flags: 'wx' }),
      )
    },
  )
  addVerifyCommand(log)
}

function addVerifyCommand(log: Command): void {
  const verify = log
    .command('verify')
    .argument('<file>', 'as exported')
    .option('--head <hash>', 'of the newest entry, kept from before or asked of the registry')
    .description('find the first entry that was changed, left out or put in')
  verify.action(async (file: string, { head }: { head?: string }) => {
    const lines = createInterface({ input: createReadStream(file), crlfDelay: 0 })
    const verdict = await verifyAuditLog(lines)
    if (!verdict.ok) throw broken(`${file}, line ${verdict.line}: ${verdict.why}`)
    const { entries, first, last, hash } = verdict
    if (head !== undefined && head !== hash) {
      throw broken(`${file}: the newest entry has hash ${hash}, want ${head}`)
    }
    const text = () =>
      `unbroken: ${entries} entries, ${first} to ${last}; hash of the newest: ${hash}`
    process.stdout.write(`${printed(optionsOf(verify).output, verdict, text)}\n`)
  })
}

function broken(why: string): OperatorError {
  return new OperatorError('ERR_USAGE', `the chain is broken: ${why}`)
}
