import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ask } from '../../../agent/control/client.ts'
import { LIFETIME_STARTED, NETCHECK } from '../../../agent/control/netcheck-report.ts'
import { POLICY_CHECK } from '../../../agent/control/policy-report.ts'
import { CHANGED, ControlError, type Controls, PEERS } from '../../../agent/control/reports.ts'
import { startControlServer } from '../../../agent/control/server.ts'
import { WHY } from '../../../agent/why/report.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import { POLICY_TEXT_CHARACTERS } from '../../../protocol/limits.ts'
import { tempDir } from '../../support/temp-dir.ts'

const rule = suite('the local API')

const controls: Controls = {
  netcheck: () => Promise.reject(new ControlError(409, 'nexd is still starting; try again')),
  measureLifetime: (longest) => ({ started: [{ family: 4, endsWithin: 2 * longest }] }),
  status: () => Promise.reject(new Error('a bug')),
  peers: async () => [],
  ping: () => Promise.reject(new ControlError(404, 'no peer "x" (nexctl peers list shows them)')),
  why: (peer) => Promise.reject(new ControlError(404, `no device "${peer}" (did you mean phone?)`)),
  routes: {
    routes: () => [],
    change: async ({ prefix }) => prefix !== '10.0.0.1/32',
    router: () => ({ prefixes: [], forwards: false, nat: true, blocks: [] }),
    changeRouter: () => Promise.reject(new Error('a bug')),
    exits: () => ({
      ...{ preference: 'off', inUse: '', allowLocal: false, state: 'off', why: '', exits: [] },
    }),
    changeExit: () => Promise.reject(new ControlError(409, 'phone is no exit node')),
  },
  policy: {
    policy: () => ({ revision: 0, rules: 0, text: 'version: 1' }),
    policyStatus: () => ({ revision: 0, devices: [] }),
    ask: (question) => {
      throw new MalformedError(`policy question "${question}"`)
    },
    check: (text) => ({ rules: text.length, tests: [] }),
  },
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  return 'not refused'
}

async function refusedAt(path: string): Promise<string> {
  return refusal(startControlServer(path, controls, () => {}))
}

rule('answers on a socket that only the owner may open', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'nexd.sock')
  await using _server = await startControlServer(path, controls, () => {})
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await ask(path, PEERS, '/v1/peers'), [])
  assert.equal(
    await ask(path, CHANGED, '/v1/routes', { prefix: '10.0.0.2/32', action: 'withdraw' }),
    {
      changed: true,
    },
  )
})

rule('starts to measure a lifetime, and refuses what is no number of seconds', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'nexd.sock')
  await using _server = await startControlServer(path, controls, () => {})
  const lifetime = (body: object) => ask(path, LIFETIME_STARTED, '/v1/netcheck/lifetime', body)
  assert.equal(await lifetime({ longest: 60 }), { started: [{ family: 4, endsWithin: 120 }] })
  for (const longest of [0, 1.5, 'x', 86_401, null, undefined])
    assert.match(await refusal(lifetime({ longest })), /longest/)
  assert.match(await refusal(lifetime({ longest: 60, more: 1 })), /more/)
  assert.match(await refusal(ask(path, NETCHECK, '/v1/netcheck')), /still starting/)
})

rule('takes a policy of full length, and says what is wrong with a question', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'nexd.sock')
  await using _server = await startControlServer(path, controls, () => {})
  const check = (text: string) => ask(path, POLICY_CHECK, '/v1/policy/check', { text })
  const longest = '\n'.repeat(POLICY_TEXT_CHARACTERS)
  assert.equal(await check(longest), { rules: POLICY_TEXT_CHARACTERS, tests: [] })
  assert.match(await refusal(check(`${longest}x`)), /text/)
  const question = ask(path, POLICY_CHECK, '/v1/policy/ask', { question: 'x' })
  assert.is(await refusal(question), 'malformed policy question "x"')
})

rule('says what is wrong with a request, and lives on', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'nexd.sock')
  const logged: string[] = []
  await using _server = await startControlServer(
    path,
    controls,
    (_level, event) => void logged.push(event),
  )
  assert.match(
    await refusal(ask(path, CHANGED, '/v1/routes', { prefix: 7, action: 'withdraw' })),
    /prefix/,
  )
  assert.match(
    await refusal(ask(path, CHANGED, '/v1/routes', { prefix: 'x', action: 'y', more: 1 })),
    /more|action/,
  )
  assert.is(
    await refusal(ask(path, PEERS, '/v1/peers/ping', { peer: 'x', count: 1 })),
    'no peer "x" (nexctl peers list shows them)',
  )
  assert.match(await refusal(ask(path, WHY, '/v1/why', { peer: 'fone' })), /no device "fone"/)
  for (const body of [{}, { peer: '' }, { peer: 'x'.repeat(129) }, { peer: 'x', more: 1 }]) {
    assert.match(await refusal(ask(path, WHY, '/v1/why', body)), /peer|more/)
  }
  assert.match(await refusal(ask(path, PEERS, '/v1/nothing')), /no such call/)
  assert.equal(logged, [])
  assert.match(await refusal(ask(path, PEERS, '/v1/status')), /a bug/)
  assert.equal(logged, ['control.failed'])
  assert.equal(await ask(path, PEERS, '/v1/peers'), [])
})

rule(
  'replaces the socket of a dead daemon, never that of a living one or another file',
  async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'nexd.sock')
    {
      await using _living = await startControlServer(path, controls, () => {})
      assert.match(await refusedAt(path), /another nexd answers on/)
    }
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('on'))`
    const killed = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(killed.stdout, 'data')
    killed.kill('SIGKILL')
    await once(killed, 'close')
    {
      await using _next = await startControlServer(path, controls, () => {})
      assert.equal(await ask(path, PEERS, '/v1/peers'), [])
    }
    await writeFile(path, 'not a socket')
    assert.match(await refusedAt(path), /is no socket, and stays as it is/)
  },
)

rule('says how to reach a daemon that is not there', async () => {
  await using dir = await tempDir()
  assert.match(
    await refusal(ask(join(dir.path, 'none.sock'), PEERS, '/v1/peers')),
    /is nexd running\? start it with nexd up/,
  )
})

rule.run()
