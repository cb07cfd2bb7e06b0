// time limit: 600 s
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signingKeyPairFromSeed } from '../../../crypto/signing.ts'
import { organizationIdOf } from '../../../protocol/keys.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { newToken, withSession, withToken } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { nexctl } from '../../support/nexctl.ts'
import { startTestRegistry, type TestRegistry, temporaryDirectory } from '../../support/registry.ts'

const rule = suite('nexctl and the root key')

async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const ada = withSession(browser)
  const [organization = ''] = await organizationsOf(browser)
  const { token } = await newToken(ada, ['read', 'root'])
  const directory = await temporaryDirectory()
  const at = (name: string) => join(directory, name)
  await writeFile(at('login.json'), JSON.stringify({ registry: `${registry.url}/`, token }), {
    mode: 0o600,
  })
  const run = (...argv: string[]) =>
    nexctl(['--login-file', at('login.json'), 'organization', ...argv])
  const done = async (...argv: string[]) => {
    const ran = await run(...argv)
    assert.is(ran.status, 0, ran.stderr)
    return ran
  }
  const issuer = async () =>
    (await ada('GET', `/organizations/${organization}/issuer`)).json as Record<string, unknown>
  return { ada, token, organization, at, run, done, issuer }
}

rule('the key leaves, signs offline what the registry asks for, and comes back', async () => {
  await using registry = await startTestRegistry()
  const { organization, at, run, done, issuer } = await scene(registry)
  const key = at('ROOT.key')
  const { stdout } = await done('root', 'export', key)
  assert.match(stdout, /has forgotten it/)
  assert.is((await stat(key)).mode & 0o777, 0o600)
  const root = signingKeyPairFromSeed<'root'>(await readFile(key))
  assert.is(organizationIdOf(root.publicKey), organization)
  const before = await issuer()
  assert.is(before['root'], 'elsewhere')
  // Once more: the answer may have been lost.
  await done('root', 'export', key)
  const other = await run('root', 'export', at('other'))
  assert.is(other.status, 1)
  assert.match(other.stderr, /exported already/)

  const request = await done('root', 'request', '--rotate')
  assert.match(request.stdout, /^nexodus issuer request 1\norganization: /)
  await writeFile(at('REQUEST'), request.stdout)
  const signed = await nexctl(['organization', 'root', 'sign', '--key', key, at('REQUEST')])
  assert.is(signed.status, 0, signed.stderr)
  assert.ok(signed.stderr.includes(request.stdout), 'it shows what it signs')
  await writeFile(at('CERTIFICATE'), signed.stdout)
  await done('root', 'install', at('CERTIFICATE'))
  const after = await issuer()
  assert.is.not(after['key'], before['key'])
  assert.is((after['former'] as unknown[]).length, 1)
  assert.match((await done('show')).stdout, /rootKey +elsewhere/)

  await done('root', 'import', key)
  assert.is((await issuer())['root'], 'here')
  await done('rotate-issuer', '--at-once')
  assert.is(((await issuer())['former'] as unknown[]).length, 0)
})

rule('a request that was changed on the way, or asks for too much, is not signed', async () => {
  await using registry = await startTestRegistry()
  const { at, done } = await scene(registry)
  await done('root', 'export', at('ROOT.key'))
  const { stdout } = await done('root', 'request')
  const sign = async (text: string, key = 'ROOT.key') => {
    await writeFile(at('REQUEST'), text)
    return nexctl(['organization', 'root', 'sign', '--key', at(key), at('REQUEST')])
  }
  await writeFile(at('foreign.key'), new Uint8Array(32).fill(9), { mode: 0o600 })
  await writeFile(at('open.key'), new Uint8Array(32).fill(9))
  await chmod(at('open.key'), 0o644)
  for (const [ran, message] of [
    [await sign(stdout.replace(/ranges: \S+/, 'ranges: 0.0.0.0/0')), /is not private/],
    [await sign(stdout.replace('604800 s', '9999999 s')), /longest membership/],
    [await sign(`${stdout}more: lines\n`), /do not belong/],
    [await sign('hello'), /want "nexodus issuer request 1"/],
    [await sign(stdout, 'foreign.key'), /is the root of/],
    [await sign(stdout, 'open.key'), /others may read it/],
    [await sign(stdout, 'absent.key'), /no such file/],
  ] as const) {
    assert.is(ran.status, 1)
    assert.is(ran.stdout, '')
    assert.match(ran.stderr, message)
  }
})

rule('a passphrase seals the file, and opens it again', async () => {
  await using registry = await startTestRegistry()
  const { at, run, done, issuer } = await scene(registry)
  await writeFile(at('short'), 'hunter2\n')
  await writeFile(at('phrase'), 'correct horse battery staple\n')
  const [key, phrase] = [at('ROOT.key'), ['--passphrase-file', at('phrase')]]
  const short = await run('root', 'export', key, '--passphrase-file', at('short'))
  assert.match(short.stderr, /has 7 characters, want 12/)
  assert.is((await issuer())['root'], 'here')
  await done('root', 'export', key, ...phrase)
  assert.is((await stat(key)).mode & 0o777, 0o600)
  assert.match((await run('root', 'import', key)).stderr, /is sealed/)
  await writeFile(at('phrase'), 'incorrect horse battery staple\n')
  assert.match((await run('root', 'import', key, ...phrase)).stderr, /another passphrase/)
  await writeFile(at('phrase'), 'correct horse battery staple\n')
  await done('root', 'import', key, ...phrase)
  assert.is((await issuer())['root'], 'here')
})

rule(
  'a file that holds something else is not written over, and the registry keeps the key',
  async () => {
    await using registry = await startTestRegistry()
    const { at, run, issuer } = await scene(registry)
    await writeFile(at('ROOT.key'), new Uint8Array(32).fill(9), { mode: 0o600 })
    const ran = await run('root', 'export', at('ROOT.key'))
    assert.match(ran.stderr, /holds another key: nothing was changed/)
    assert.equal(new Uint8Array(await readFile(at('ROOT.key'))), new Uint8Array(32).fill(9))
    assert.is((await issuer())['root'], 'here')
    const absent = await run('root', 'export', at('no/such/directory'))
    assert.is(absent.status, 1)
    assert.is((await issuer())['root'], 'here')
  },
)

rule(
  'the key takes a token with its scope: a session, another token and a repetition do not',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, token, organization } = await scene(registry)
    const path = `/organizations/${organization}/root/export`
    const bySession = await ada('POST', path, {})
    assert.equal([bySession.status, bySession.json['code']], [403, 'token-needed'])
    const { token: weaker } = await newToken(ada, ['read', 'organizations:write'])
    const refused = await withToken(registry.url, weaker)('POST', path, {})
    assert.equal([refused.status, refused.json['code']], [403, 'scope-missing'])
    const repeated = await fetch(`${registry.url}/v1${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': 'a'.repeat(32),
      },
      body: '{}',
    })
    assert.is(repeated.status, 400)
    assert.match(await repeated.text(), /idempotency-refused/)
  },
)

rule('a lock is asked for by names, signed and shown', async () => {
  await using registry = await startTestRegistry()
  const { ada, organization, at, run, done, issuer } = await scene(registry)
  const keys = `/organizations/${organization}/registration-keys`
  const made = await ada('POST', keys, { description: 'lab', singleUse: false })
  const client = clientOf(registry)
  const boss = newApplicant('boss')
  await client.enrol(boss, { registrationKey: String(made.json['key']) })
  await done('root', 'export', at('ROOT.key'))
  assert.match((await run('root', 'request', '--approver', 'nobody')).stderr, /nothing is called/)
  const { stdout } = await done('root', 'request', '--approver', 'boss')
  assert.match(stdout, /\nlocked since: \S+\napprover: [a-z2-7]{52} boss\n$/)
  await writeFile(at('REQUEST'), stdout)
  const signed = await nexctl([
    'organization',
    'root',
    'sign',
    '--key',
    at('ROOT.key'),
    at('REQUEST'),
  ])
  await writeFile(at('CERTIFICATE'), signed.stdout)
  assert.match((await done('root', 'install', at('CERTIFICATE'))).stdout, /approvers +boss/)
  const lock = (await issuer())['lock'] as { approvers: { name: string }[] }
  assert.is(lock.approvers[0]?.name, 'boss')
  const opening = await done('root', 'request', '--no-lock')
  assert.not.match(opening.stdout, /approver/)
})

rule('what is no certificate is not sent', async () => {
  await using registry = await startTestRegistry()
  const { at, run } = await scene(registry)
  await writeFile(at('CERTIFICATE'), 'AAAA')
  assert.match((await run('root', 'install', at('CERTIFICATE'))).stderr, /no issuer certificate/)
})

rule.run()
