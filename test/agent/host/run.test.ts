/** Commands of the host. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CommandError, commandsOf } from '../../../agent/host/run.ts'

const { run } = commandsOf()

async function failureOf(result: Promise<unknown>): Promise<CommandError> {
  return (await result.catch((error: unknown) => error)) as CommandError
}

const rule = suite('commands')

rule('gives standard output', async () => {
  assert.is(await run('echo', ['hello world']), 'hello world\n')
})

rule('gives standard input, and ends it', async () => {
  assert.is(await run('cat', [], { input: 'secret' }), 'secret')
  assert.is(await run('cat', []), '')
})

rule('survives a command that does not read its input', async () => {
  assert.is(await run('true', [], { input: 'x'.repeat(1 << 20) }), '')
})

rule('passes arguments as they are, for there is no shell', async () => {
  assert.is(await run('echo', ['$HOME; `id` "x"']), '$HOME; `id` "x"\n')
})

rule('speaks the C locale, so that messages can be recognised', async () => {
  assert.is(await run('sh', ['-c', 'echo $LC_ALL']), 'C\n')
})

rule('finds a command without running it', async () => {
  const commands = commandsOf({ path: '/nowhere:/bin:/usr/bin' })
  await commands.require('sh')
  const missing = await failureOf(commands.require('no-such-command'))
  assert.is(missing.code, 'ERR_COMMAND_MISSING')
  const error = await failureOf(commandsOf({ path: '/nowhere' }).require('wg'))
  assert.is(error.message, 'wg is not installed (install the package wireguard-tools)')
})

rule('names the command, its status and what it said', async () => {
  const error = await failureOf(run('sh', ['-c', 'echo no such thing >&2; exit 3']))
  assert.is(error.code, 'ERR_COMMAND_FAILED')
  assert.is(error.stderr, 'no such thing')
  assert.match(error.message, /^"sh -c .*" failed with status 3: no such thing$/)
})

rule('names the package of a command that is missing', async () => {
  const error = await failureOf(commandsOf({ path: '/nowhere' }).run('nft', ['list', 'tables']))
  assert.is(error.code, 'ERR_COMMAND_MISSING')
  assert.is(error.message, 'nft is not installed (install the package nftables)')
})

rule('says that root is needed where something is not permitted', async () => {
  const error = await failureOf(run('sh', ['-c', 'echo "Operation not permitted" >&2; exit 2']))
  assert.is(error.code, 'ERR_COMMAND_PRIVILEGES')
  assert.match(error.message, /was not permitted \(run as root, or with CAP_NET_ADMIN\)$/)
})

rule('kills a command that takes too long', async () => {
  const started = performance.now()
  const error = await failureOf(run('sleep', ['30'], { timeoutMs: 50 }))
  assert.is(error.code, 'ERR_COMMAND_TIMEOUT')
  assert.match(error.message, /"sleep 30" took longer than 50 ms/)
  assert.ok(performance.now() - started < 5000)
})

rule('runs behind a prefix', async () => {
  const behind = commandsOf({ prefix: ['env', 'NEXODUS_TEST=1'] })
  assert.is(await behind.run('sh', ['-c', 'echo $NEXODUS_TEST']), '1\n')
})

rule.run()
