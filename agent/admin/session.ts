/** What the commands for the registry have at hand: the login, the API, the organization, the output. */
import type { Command } from 'commander'
import { z } from 'zod'
import { OperatorError } from '../errors.ts'
import { readLogin } from './login-file.ts'
import { type Column, detailText, FORMS, printed, tableText } from './output.ts'
import { type Json, openRegistryApi, type RegistryApi } from './registry-api.ts'

const OPTIONS = z.object({
  output: z.enum(FORMS),
  loginFile: z.string(),
  organization: z.string().optional(),
})

export interface AdminSession {
  readonly api: RegistryApi
  /** Path of the organization that is meant, `/organizations/<id>`. Throws OperatorError (ERR_USAGE). */
  home(): Promise<string>
  /** Prints a list. */
  table(items: readonly Json[], shown: readonly Column[]): void
  /** Prints one thing, or what became of it. */
  show(value: Json): void
  /** Prints a line for people, and `value` for programs. */
  say(line: string, value: Json): void
}

export function optionsOf(command: Command): z.output<typeof OPTIONS> {
  return OPTIONS.parse(command.optsWithGlobals())
}

/** Throws OperatorError (ERR_USAGE) when nobody has logged in. */
export async function openSession(command: Command): Promise<AdminSession> {
  const { output, loginFile, organization } = optionsOf(command)
  const { registry, token } = await readLogin(loginFile)
  const api = openRegistryApi(registry, token)
  const print = (value: unknown, column: () => string) =>
    void process.stdout.write(`${printed(output, value, column)}\n`)
  return {
    api,
    home: async () => `/organizations/${await organizationOf(api, organization)}`,
    table: (items, shown) => print(items, () => tableText(shown, items)),
    show: (value) => print(value, () => detailText(value)),
    say: (line, value) => print(value, () => line),
  }
}

/** By name or id; not named: the only one there is. */
async function organizationOf(api: RegistryApi, wanted: string | undefined): Promise<string> {
  const own = z
    .array(z.object({ id: z.string(), name: z.string() }))
    .parse((await api.ask('GET', '/organizations'))['organizations'])
  const found = own.filter(
    ({ id, name }) => wanted === undefined || id === wanted || name === wanted,
  )
  const [only] = found
  if (only !== undefined && found.length === 1) return only.id
  const names = own.map(({ id, name }) => `${name} (${id})`).join(', ') || 'none'
  throw new OperatorError(
    'ERR_USAGE',
    wanted === undefined
      ? `which organization? (--organization, one of: ${names})`
      : `${found.length === 0 ? 'no organization' : 'several organizations'} "${wanted}" (--organization by id, one of: ${names})`,
  )
}

/** The one thing of a list that is meant, by id or name. Throws OperatorError (ERR_USAGE). */
export function pick(items: readonly Json[], wanted: string): Json & { readonly id: string } {
  const found = items.filter((item) =>
    ['id', 'user', 'name', 'email', 'description'].some((field) => item[field] === wanted),
  )
  const [only] = found
  if (only !== undefined && found.length === 1) {
    return { ...only, id: String(only['id'] ?? only['user']) }
  }
  const many = found.length > 1 ? 'several are' : 'nothing is'
  throw new OperatorError('ERR_USAGE', `${many} called "${wanted}" (name it by its id)`)
}
