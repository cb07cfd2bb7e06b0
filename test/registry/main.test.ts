// time limit: 240 s
import { once } from 'node:events'
import { chmod, readdir, stat, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { completeSetup, loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { ADA, freePort, temporaryDirectory } from '../support/registry.ts'
import { completed, quietOptions, runRegistry, startedAt } from '../support/registry-process.ts'

const rule = suite('node registry/main.ts')

async function options(stateDirectory: string, port?: number): Promise<string[]> {
  return quietOptions(stateDirectory, port ?? (await freePort()))
}

/** What it printed on standard error, and its exit code. */
async function failure(args: readonly string[], environment?: Record<string, string>) {
  const { code, stderr: text } = await completed(args, environment)
  return { code, text }
}

rule(
  'starts with its state directory alone, and keeps users and sessions over a restart',
  async () => {
    const directory = await temporaryDirectory()
    const args = await options(directory)
    const first = runRegistry(args)
    const url = await startedAt(first)
    const setup = /https?:\/\/\S+\/setup\/\S+/.exec(first.stdout())?.[0] ?? ''
    await completeSetup(setup, ADA)
    const ada = await loginByHttp(url.origin, ADA)
    const organizations = await organizationsOf(ada)
    assert.is(organizations.length, 1)
    first.child.kill('SIGTERM')
    assert.is(await first.ended, 0)

    const second = runRegistry(args)
    await startedAt(second)
    assert.equal(await organizationsOf(ada), organizations, 'the session is still there')
    await loginByHttp(url.origin, ADA)
    assert.not.match(second.stdout(), '/setup/')
    second.child.kill('SIGINT')
    assert.is(await second.ended, 0)
  },
)

rule('keeps its keys in files that nobody else may read', async () => {
  const directory = await temporaryDirectory()
  const running = runRegistry(await options(directory))
  await startedAt(running)
  running.child.kill('SIGTERM')
  await running.ended
  const keys = (await readdir(directory)).filter((name) => name.endsWith('.key'))
  assert.ok(keys.length >= 2)
  for (const name of keys) {
    assert.is((await stat(join(directory, name))).mode & 0o777, 0o600, name)
  }
})

rule('stops within three seconds, also while a request hangs', async () => {
  const running = runRegistry(await options(await temporaryDirectory()))
  const url = await startedAt(running)
  const hanging = connect(Number(url.port), url.hostname)
  hanging.on('error', () => undefined)
  hanging.write('POST /v1/renewals HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n')
  await once(hanging, 'connect')
  const from = performance.now()
  running.child.kill('SIGTERM')
  assert.is(await running.ended, 0)
  assert.ok(performance.now() - from < 3000)
})

rule('says in one line that the port is taken', async () => {
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  const { code, text } = await failure(await options(await temporaryDirectory(), port))
  other.close()
  assert.is(code, 1)
  assert.is(
    text,
    `nexodus-registry: --listen 127.0.0.1:${port}: the port is taken (stop what uses it, or choose another)\n`,
  )
})

rule('says in one line what is wrong with its state directory', async () => {
  const directory = await temporaryDirectory()
  const file = join(directory, 'file')
  await writeFile(file, '')
  const notOne = await failure(await options(join(file, 'state')))
  assert.equal([notOne.code, notOne.text.split('\n').length], [1, 2], notOne.text)
  assert.match(notOne.text, `--state-dir ${file}/state: cannot be made (ENOTDIR)`)

  const state = join(directory, 'state')
  const first = runRegistry(await options(state))
  await startedAt(first)
  const inUse = await failure(await options(state))
  assert.equal([inUse.code, inUse.text.split('\n').length], [1, 2], inUse.text)
  assert.match(inUse.text, 'another registry is using it')
  first.child.kill('SIGTERM')
  await first.ended

  await chmod(join(state, 'identity.key'), 0o644)
  const readable = await failure(await options(state))
  assert.equal([readable.code, readable.text.split('\n').length], [1, 2], readable.text)
  assert.match(readable.text, 'chmod 600')
  await chmod(join(state, 'identity.key'), 0o600)

  for (const name of await readdir(join(state, 'store'))) {
    if (name.startsWith('MANIFEST')) await writeFile(join(state, 'store', name), 'nonsense')
  }
  const corrupt = await failure(await options(state))
  assert.equal([corrupt.code, corrupt.text.split('\n').length], [1, 2], corrupt.text)
  assert.match(corrupt.text, 'corrupt')
})

rule('says in one line which setting is bad, and takes settings from the environment', async () => {
  const state = await temporaryDirectory()
  const bad: [string[], Record<string, string>, RegExp][] = [
    [['--listen', 'nowhere'], {}, /--listen.*want host:port/],
    [[], { NEXODUS_REGISTRY_LISTEN: 'x:99999' }, /NEXODUS_REGISTRY_LISTEN.*want host:port/],
    [['--public-url', 'registry.example'], {}, /--public-url.*want an http or https URL/],
    [['--public-url', 'https://a.example/path'], {}, /scheme, host and port only/],
    [['--listen', '0.0.0.0:3000'], {}, /--public-url is needed/],
    [['--oidc-issuer', 'https://id.example'], {}, /needs --oidc-client-id/],
    [['--oidc-client-id', 'x'], {}, /without --oidc-issuer/],
    [['--oidc-issuer', 'http://id.example', '--oidc-client-id', 'x'], {}, /must be https/],
    [['--trusted-proxies', '10.0.0.0/99'], {}, /no IP address or prefix/],
    [['--log-level', 'loud'], {}, /debug, info, warn, error/],
    [['--public-url', 'http://registry.example'], {}, /--insecure-http/],
    [['--no-such-option'], {}, /unknown option/],
  ]
  for (const [args, environment, message] of bad) {
    const { code, text } = await failure(['--state-dir', state, ...args], environment)
    assert.is(code, 1, args.join(' '))
    assert.match(text, message)
    assert.is(text.trim().split('\n').length, 1, text)
  }
})

rule.run()
