// time limit: 600 s
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import type { Browser } from '../../../simulations/lab/login.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { nexctl } from '../../support/nexctl.ts'
import { startTestRegistry, type TestRegistry, temporaryDirectory } from '../../support/registry.ts'

const rule = suite('nexctl and the registry')

type Json = Record<string, unknown>

/** Logs in as the browser's user, by the code that nexctl shows. */
async function logIn(registry: TestRegistry, browser: Browser, file: string, decision: string) {
  const argv = ['--login-file', file, 'login', '--registry', registry.url, '--days', '2']
  let decided: Promise<unknown> | undefined
  const ran = await nexctl(argv, (text) => {
    const code = /shows the code ([A-Z-]{9})/.exec(text)?.[1]
    if (code === undefined || decided !== undefined) return
    decided = browser.submit('/device/login', { user_code: code, decision })
  })
  await decided
  return ran
}

async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const file = join(await temporaryDirectory(), 'config', 'login.json')
  const run = (...argv: string[]) => nexctl(['--login-file', file, ...argv])
  return {
    ...{ browser, file, run },
    json: async (...argv: string[]) => {
      const { stdout, stderr, status } = await run('--output', 'json', ...argv)
      assert.is(status, 0, stderr)
      return JSON.parse(stdout)
    },
  }
}

rule('logs in by a page, keeps the token for its user alone, and prints it never', async () => {
  await using registry = await startTestRegistry()
  const { browser, file, run, json } = await scene(registry)
  const ran = await logIn(registry, browser, file, 'approve')
  assert.is(ran.status, 0, ran.stderr)
  const { token } = JSON.parse(await readFile(file, 'utf8'))
  assert.match(token, /^nxt_/)
  assert.is((await stat(file)).mode & 0o777, 0o600)
  assert.is((await stat(join(file, '..'))).mode & 0o777, 0o700)
  const who = await json('whoami')
  assert.is(who.name, 'ada@example.org')
  assert.match(who.token.description, /^nexctl of /)
  assert.not.ok((ran.stdout + ran.stderr + JSON.stringify(who)).includes(token))
  assert.is((await run('logout')).status, 0)
  assert.match((await run('whoami')).stderr, 'not logged in')
  const gone = await fetch(`${registry.url}/v1/user`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.is(gone.status, 401)
})

rule('shows the organization, its devices and keys, and changes them', async () => {
  await using registry = await startTestRegistry()
  const { browser, file, run, json } = await scene(registry)
  await logIn(registry, browser, file, 'approve')
  const [organization] = (await json('organization', 'list', '--registry')) as Json[]
  assert.is(organization?.['name'], 'ada')
  const made = await json('registration-key', 'create', '--description', 'lab', '--reusable')
  for (const name of ['laptop', 'phone']) {
    await clientOf(registry).enrol(newApplicant(name), { registrationKey: made.key })
  }
  const table = await run('device', 'list')
  assert.match(table.stdout, /^NAME +ADDRESSES +OWNER/)
  assert.match(table.stdout, /laptop +100\.64\.0\.1/)
  const names = async () => ((await json('device', 'list')) as Json[]).map(({ name }) => name)
  assert.equal((await names()).toSorted(), ['laptop', 'phone'])
  const updated = await json('device', 'update', 'phone', '--name', 'pad', '--group', 'a', 'b')
  assert.equal([updated.name, updated.groups], ['pad', ['a', 'b']])
  assert.is((await run('device', 'remove', 'laptop')).status, 0)
  assert.equal(await names(), ['pad'])
  const yaml = await run('--output', 'yaml', 'registration-key', 'list')
  assert.is(parse(yaml.stdout)[0].uses, 2)
  assert.is((await run('registration-key', 'revoke', 'lab')).status, 0)
  assert.match((await run('registration-key', 'list')).stdout, 'none')
})

rule('exports the audit log, and finds what was done to it', async () => {
  await using registry = await startTestRegistry()
  const { browser, file, run, json } = await scene(registry)
  await logIn(registry, browser, file, 'approve')
  for (const description of ['a', 'b', 'c']) {
    await json('registration-key', 'create', '--description', description)
  }
  const log = join(await temporaryDirectory(), 'audit.jsonl')
  assert.is((await run('audit', 'export', log)).status, 0)
  const { hash, entries } = await json('audit', 'verify', log)
  assert.ok(entries >= 4)
  const listed = (await json('audit', 'list')) as Json[]
  assert.is(listed.length, entries)
  assert.is((await run('audit', 'verify', log, '--head', hash)).status, 0)
  assert.match((await run('audit', 'verify', log, '--head', '0'.repeat(64))).stderr, 'want 000')
  const text = await readFile(log, 'utf8')
  await writeFile(log, text.replace('"description":"b"', '"description":"B"'))
  const broken = await run('audit', 'verify', log)
  assert.is(broken.status, 1)
  assert.match(broken.stderr, /the chain is broken: .*, line \d+: entry \d+ was made after another/)
  const again = await run('audit', 'export', log)
  assert.is(again.status, 1)
})

rule('makes tokens that are shown once, and members of who was invited', async () => {
  await using registry = await startTestRegistry()
  const { browser, file, run, json } = await scene(registry)
  await logIn(registry, browser, file, 'approve')
  const made = await json('token', 'create', '--description', 'ci', '--scope', 'read')
  assert.match(made.token, /^nxt_/)
  const listed = await run('token', 'list')
  assert.match(listed.stdout, 'ci')
  assert.not.match(listed.stdout, 'nxt_')
  assert.is((await run('token', 'revoke', 'ci')).status, 0)
  const bob = await registry.bob(browser)
  const bobs = join(await temporaryDirectory(), 'login.json')
  await logIn(registry, bob, bobs, 'approve')
  const { link } = await json('invitation', 'create', '--role', 'admin')
  const joined = await nexctl(['--login-file', bobs, 'invitation', 'accept', link])
  assert.is(joined.status, 0, joined.stderr)
  const members = (await json('member', 'list')) as Json[]
  assert.equal(members.map(({ role }) => role).toSorted(), ['admin', 'owner'])
  const which = await nexctl(['--login-file', bobs, 'device', 'list'])
  assert.match(which.stderr, 'which organization?')
  const named = await nexctl(['--login-file', bobs, '--organization', 'ada', 'device', 'list'])
  assert.is(named.status, 0, named.stderr)
})

rule('says what is wrong, and what to do', async () => {
  await using registry = await startTestRegistry()
  const { browser, file, run } = await scene(registry)
  const missing = await run('device', 'list')
  assert.match(missing.stderr, 'not logged in (nexctl login --registry <url>)')
  const denied = await logIn(registry, browser, file, 'deny')
  assert.is(denied.status, 1)
  assert.match(denied.stderr, 'the login was denied')
  const clear = await run('login', '--registry', 'http://registry.example')
  assert.match(clear.stderr, 'the token would cross the network in the clear')
  await logIn(registry, browser, file, 'approve')
  assert.match((await run('device', 'show', 'none')).stderr, 'nothing is called "none"')
  assert.match((await run('device', 'update', 'x', '--name', 'y')).stderr, 'nothing is called "x"')
  assert.match((await run('audit', 'verify', '/nowhere/at/all')).stderr, 'ENOENT')
  assert.is(
    (await run('registration-key', 'create', '--description', 'x', '--days', '0')).status,
    1,
  )
  await chmod(file, 0o644)
  assert.match((await run('whoami')).stderr, 'others may read the token')
  await chmod(file, 0o600)
  await writeFile(file, '{}')
  assert.match((await run('whoami')).stderr, 'is no login')
})

rule.run()
