// time limit: 600 s
/** `nexodus-registry store …` and `--store`, as processes. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { completeSetup, loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { ADA, temporaryDirectory } from '../support/registry.ts'
import {
  completed,
  quietOptions,
  runRegistry,
  startedAt,
  stopped,
} from '../support/registry-process.ts'

const rule = suite('nexodus-registry store')

/** A registry that runs, with one user. */
async function running(stateDirectory: string, extra: readonly string[] = []) {
  const registry = runRegistry([...quietOptions(stateDirectory), ...extra])
  const url = await startedAt(registry)
  const setup = /https?:\/\/\S+\/setup\/\S+/.exec(registry.stdout())?.[0]
  if (setup !== undefined) await completeSetup(setup, ADA)
  return { registry, url: url.origin }
}

rule(
  'backs up a registry that runs, and restores it elsewhere: users and keys are there',
  async () => {
    const directory = await temporaryDirectory()
    const { registry, url } = await running(directory)
    const organizations = await organizationsOf(await loginByHttp(url, ADA))
    assert.is(organizations.length, 1)
    const file = join(await temporaryDirectory(), 'backup')
    const backup = await completed(['store', 'backup', file, '--state-dir', directory])
    assert.is(backup.code, 0, backup.stderr)
    assert.match(backup.stdout, 'a backup of the running registry. It holds private keys')

    const refused = await completed(['store', 'restore', file, '--state-dir', directory])
    assert.is(refused.code, 1)
    assert.match(refused.stderr, 'another registry is using it (stop it')
    assert.is(await stopped(registry), 0)
    assert.equal((await readdir(directory)).includes('registry.sock'), false)

    const elsewhere = await temporaryDirectory()
    const restored = await completed(['store', 'restore', file, '--state-dir', elsewhere])
    assert.is(restored.code, 0, restored.stderr)
    assert.match(restored.stdout, `records are in level:${elsewhere}/store`)
    for (const kind of ['roots', 'issuers']) {
      const name = (await readdir(join(directory, kind)))[0] ?? ''
      const before = await readFile(join(directory, kind, name))
      assert.equal(await readFile(join(elsewhere, kind, name)), before)
    }
    const second = await running(elsewhere)
    assert.equal(await organizationsOf(await loginByHttp(second.url, ADA)), organizations)
    await stopped(second.registry)
  },
)

rule('backs up a registry that is stopped, after one that was killed', async () => {
  const directory = await temporaryDirectory()
  const { registry } = await running(directory)
  registry.child.kill('SIGKILL')
  await registry.ended
  const file = join(await temporaryDirectory(), 'backup')
  const backup = await completed(['store', 'backup', file], {
    NEXODUS_REGISTRY_STATE_DIR: directory,
  })
  assert.is(backup.code, 0, backup.stderr)
  assert.match(backup.stdout, /: a backup\. It holds/)
})

rule('keeps records where --store says, and copies them to another directory', async () => {
  const directory = await temporaryDirectory()
  const from = join(await temporaryDirectory(), 'data')
  const { registry, url } = await running(directory, ['--store', `level:${from}`])
  const organizations = await organizationsOf(await loginByHttp(url, ADA))
  assert.equal((await readdir(directory)).includes('store'), false)
  const to = join(await temporaryDirectory(), 'copy')
  const busy = await completed(['store', 'copy', `level:${from}`, `level:${to}`])
  assert.is(busy.code, 1)
  assert.match(busy.stderr, 'another registry is using it')
  await stopped(registry)
  const copied = await completed(['store', 'copy', `level:${from}`, `level:${to}`])
  assert.is(copied.code, 0, copied.stderr)
  assert.match(copied.stdout, `records are in level:${to}`)
  const again = await completed(['store', 'copy', `level:${from}`, `level:${to}`])
  assert.is(again.code, 1)
  assert.match(again.stderr, 'the target holds records already')

  await rm(from, { recursive: true })
  const second = await running(directory, ['--store', `level:${to}`])
  assert.equal(await organizationsOf(await loginByHttp(second.url, ADA)), organizations)
  await stopped(second.registry)
})

rule('says in one line what is wrong, and never shows a password', async () => {
  const state = ['--state-dir', await temporaryDirectory()]
  const bad: [string[], Record<string, string>, RegExp][] = [
    [['--store', 'postgres://x', ...state], {}, /--store: want level:DIRECTORY or etcd:/],
    [
      state,
      { NEXODUS_REGISTRY_STORE: 'etcd://ada:s3cret@a' },
      /--store: endpoint "a": want host:port/,
    ],
    [['--store', 'etcd://ada:s3c/ret@a:1', ...state], {}, /--store: in user and password/],
    [['--store', 'etcd://a:1', ...state], {}, /needs --key-encryption-key-file/],
    [
      ['--store', 'etcd://a:1', '--key-encryption-key-file', '/nowhere', ...state],
      {},
      /--key-encryption-key-file \/nowhere: there is no such file/,
    ],
    [
      ['--store', 'level:/etc/passwd/x', ...state],
      {},
      /--store level:\/etc\/passwd\/x: the directory cannot be made \(ENOTDIR\)/,
    ],
    [['store', 'copy', 'nonsense', 'level:/tmp/x'], {}, /FROM: want level:DIRECTORY/],
    [
      ['store', 'copy', 'level:/tmp/x', 'etcd://a:s3cret@b'],
      {},
      /TO: endpoint "b": want host:port/,
    ],
    [['store', 'restore', '/nowhere', ...state], {}, /\/nowhere: cannot be read/],
    [['store', 'make-key', '/nowhere/key'], {}, /cannot write \/nowhere\/key/],
    [['store', 'copy'], {}, /missing required argument 'from'/],
  ]
  for (const [args, environment, message] of bad) {
    const { code, stdout, stderr } = await completed(args, environment)
    assert.is(code, 1, args.join(' '))
    assert.match(stderr, message)
    assert.not.match(stderr + stdout, 's3c')
    assert.is(stderr.trim().split('\n').length, 1, stderr)
  }
})

rule.run()
