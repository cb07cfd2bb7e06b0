/** nexctl in this process, for people who are logged in at a registry of the test's own. */
import { join } from 'node:path'
import { Command, Option } from 'commander'
import * as assert from 'uvu/assert'
import { addRegistryCommands } from '../../agent/admin/commands.ts'
import { LOGIN_SCOPES } from '../../agent/admin/login.ts'
import { writeLogin } from '../../agent/admin/login-file.ts'
import { FORMS } from '../../agent/admin/output.ts'
import { explain } from '../../agent/errors.ts'
import { addPolicyCommands } from '../../agent/nexctl-policy.ts'
import type { Browser } from '../../simulations/lab/login.ts'
import { type Json, newToken, withSession } from './api.ts'
import type { Ran } from './nexctl.ts'
import { type TestRegistry, temporaryDirectory } from './registry.ts'

/** Those of nexctl that ask a registry; one at a time, for what they print is caught. */
export async function nexctlHere(argv: readonly string[]): Promise<Ran> {
  const printed = { stdout: '', stderr: '' }
  let status = 0
  const undo = [caught('stdout', printed), caught('stderr', printed)]
  try {
    await registryProgram().parseAsync(argv, { from: 'user' })
  } catch (error) {
    printed.stderr += `nexctl: ${explain(error)}\n`
    status = 1
  } finally {
    for (const each of undo) each()
  }
  return { ...printed, status }
}

function registryProgram(): Command {
  const program = new Command('nexctl')
    .exitOverride()
    .addOption(new Option('--output <form>').choices(FORMS).default('column'))
  addPolicyCommands(program, () => Promise.reject(new Error('no agent is here')))
  addRegistryCommands(program)
  return program
}

function caught(name: 'stdout' | 'stderr', into: Record<typeof name, string>): () => void {
  const stream = process[name]
  const { write } = stream
  stream.write = (text: string | Uint8Array) => {
    into[name] += String(text)
    return true
  }
  return () => {
    stream.write = write
  }
}

export interface Person {
  readonly file: string
  /** Whatever becomes of it. */
  run(...argv: string[]): Promise<Ran>
  /** What it prints for programs. Throws where it fails. */
  json(...argv: string[]): Promise<Json>
  /** As `json`, of a list. */
  list(...argv: string[]): Promise<readonly Json[]>
  /** What it says to people. Throws where it fails. */
  text(...argv: string[]): Promise<string>
  /** Why it fails. Throws where it does not. */
  refused(...argv: string[]): Promise<string>
}

/** @param organization by name; undefined: the only one */
export async function person(
  browser: Browser,
  registry: TestRegistry,
  organization?: string,
): Promise<Person> {
  const file = join(await temporaryDirectory(), 'login.json')
  const { token } = await newToken(withSession(browser), LOGIN_SCOPES)
  await writeLogin(file, { registry: `${registry.url}/`, token })
  const common = ['--login-file', file, ...(organization ? ['--organization', organization] : [])]
  const run = (...argv: string[]) => nexctlHere([...common, ...argv])
  const text = async (...argv: string[]) => {
    const { stdout, stderr, status } = await run(...argv)
    assert.is(status, 0, `${argv.join(' ')}: ${stderr}`)
    return stdout
  }
  const parsed = async (argv: string[]) => JSON.parse(await text('--output', 'json', ...argv))
  return {
    ...{ file, run, text },
    json: (...argv) => parsed(argv),
    list: (...argv) => parsed(argv),
    async refused(...argv) {
      const { stdout, stderr, status } = await run(...argv)
      assert.is(status, 1, `${argv.join(' ')}: ${stdout}`)
      return stderr
    },
  }
}
