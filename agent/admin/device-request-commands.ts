/** nexctl's commands about what devices ask to advertise and to be. */
import type { Command } from 'commander'
import { z } from 'zod'
import { OperatorError } from '../errors.ts'
import { printable } from '../printable.ts'
import { devicesIn } from './device-commands.ts'
import { withSession } from './organization-commands.ts'
import { type AdminSession, pick } from './session.ts'

const ASKED = z.object({ prefixes: z.array(z.string()), roles: z.array(z.string()) })
type Asked = z.output<typeof ASKED>

const OPTIONS = z.object({
  prefix: z.array(z.string()).default([]),
  role: z.array(z.string()).default([]),
})

/** @param device the command `device` */
export function addDeviceRequestCommands(device: Command): void {
  const request = device
    .command('request')
    .description('what devices ask to advertise and to be, and an admin has to agree to')
  withSession(request.command('list').description('every device that asks'), async (session) => {
    const asking = (await devicesIn(session))
      .map(({ id, name, owner, requests }) => ({ id, name, owner, ...ASKED.parse(requests) }))
      .filter(({ prefixes, roles }) => prefixes.length + roles.length > 0)
    session.table(asking, [
      ['NAME', 'name'],
      ['OWNER', 'owner'],
      ['PREFIXES', 'prefixes'],
      ['ROLES', 'roles'],
      ['ID', 'id'],
    ])
  })
  for (const decision of ['grant', 'deny'] as const) {
    const command = request
      .command(decision)
      .argument('<device>', 'name or id')
      .option('--prefix <prefixes...>', 'these alone of what it asks for')
      .option('--role <roles...>', 'these alone of what it asks for')
      .description(
        decision === 'grant' ? 'allow it what it asks for' : 'refuse it what it asks for',
      )
    withSession(command, async (session, wanted) => {
      const { prefix: prefixes, role: roles } = OPTIONS.parse(command.opts())
      await decide(session, wanted, decision, { prefixes, roles })
    })
  }
}

/** What is named of the requests, or all of them. Throws OperatorError where it does not ask for that. */
async function decide(
  session: AdminSession,
  wanted: string,
  decision: 'grant' | 'deny',
  named: Asked,
): Promise<void> {
  const { id, requests } = pick(await devicesIn(session), wanted)
  const open = ASKED.parse(requests)
  const asked = [...open.prefixes, ...open.roles]
  const strange = [...named.prefixes, ...named.roles].find((each) => !asked.includes(each))
  if (strange !== undefined || asked.length === 0) {
    const what = strange === undefined ? 'anything' : `"${strange}"`
    const all = asked.join(' ') || 'nothing'
    throw new OperatorError(
      'ERR_USAGE',
      printable(`${wanted} does not ask for ${what} (it asks for ${all})`),
    )
  }
  const decided = named.prefixes.length + named.roles.length === 0 ? open : named
  const path = `${await session.home()}/devices/${id}/requests`
  const device = await session.api.ask('POST', path, { [decision]: decided })
  const said = [...decided.prefixes, ...decided.roles].join(' ')
  session.say(
    printable(`${wanted} is ${decision === 'grant' ? 'granted' : 'denied'} ${said}`),
    device,
  )
}
