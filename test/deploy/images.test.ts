// time limit: 240 s
/** The images, as far as it can be told without a container engine: see deploy/README.md for what was done by hand. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../support/registry.ts'
import { type TempDir, tempDir } from '../support/temp-dir.ts'
import { allOf, parseDockerfile, rehearse, type Stage } from './dockerfile.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const IMAGES = ['registry', 'agent'] as const
type Image = (typeof IMAGES)[number]

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

function stagesOf(image: Image): readonly Stage[] {
  return parseDockerfile(read(`deploy/${image}.Dockerfile`))
}

let folder: TempDir

/** Where the final stage of the image was put together. */
function rootOf(image: Image, stage = 'final'): string {
  return join(folder.path, stage === 'dependencies' ? stage : `${image}-${stage}`)
}

/** The image's command on a path of the image, in its work directory. */
function inImage(image: Image, [program = '', ...rest]: readonly string[]) {
  const args = rest.map((word) => (word.startsWith('/nexodus/') ? rootOf(image) + word : word))
  return { program: program === 'node' ? process.execPath : program, args }
}

const rule = suite('images')

rule.before(async () => {
  folder = await tempDir()
  for (const image of IMAGES) {
    rehearse(stagesOf(image), {
      context: ROOT,
      rootOf: (stage) => rootOf(image, stage),
      run(root, workdir, command) {
        // What installs packages or makes folders of the system's is for a real build.
        const isBuilt = existsSync(join(root, workdir, 'node_modules'))
        if (command.startsWith('npm ci') ? isBuilt : !command.startsWith('node ')) return
        const env = { ...process.env, npm_config_loglevel: 'error' }
        execFileSync('/bin/sh', ['-c', command], { cwd: join(root, workdir), env })
      },
    })
  }
})
rule.after(async () => {
  await folder[Symbol.asyncDispose]()
})

rule('have the Node that the project is tested with', () => {
  const { devDependencies } = JSON.parse(read('package.json')) as {
    devDependencies: Record<string, string>
  }
  const bases = IMAGES.flatMap((image) => stagesOf(image).map(({ base }) => base))
  assert.equal(new Set(bases), new Set([`node:${devDependencies['node']}-bookworm-slim`]))
})

rule('share their first stage, so that it is built once', () => {
  assert.equal(stagesOf('registry')[0], stagesOf('agent')[0])
})

for (const image of IMAGES) {
  rule(`copy only what is there and not ignored (${image})`, () => {
    const kept = read(`deploy/${image}.Dockerfile.dockerignore`).split('\n')
    assert.is(kept[0], '*')
    const sources = allOf(stagesOf(image), 'copy')
      .filter(({ from }) => from === undefined)
      .flatMap((copy) => copy.sources)
    for (const source of sources) {
      assert.ok(existsSync(join(ROOT, source)), `${source} is there`)
      assert.ok(kept.includes(`!${source}`), `${source} is not ignored`)
    }
  })
}

rule('leave out what only development needs', () => {
  for (const image of IMAGES) {
    const modules = join(rootOf(image), 'nexodus/node_modules')
    assert.ok(existsSync(join(modules, 'libp2p')))
    assert.not(existsSync(join(modules, 'typescript')))
    assert.not(existsSync(join(modules, 'uvu')))
  }
})

rule('run the registry not as root, and it is healthy soon after its start', async () => {
  const stages = stagesOf('registry')
  assert.equal(allOf(stages, 'user'), [{ kind: 'user', name: 'node' }])
  const port = await freePort()
  const [entrypoint] = allOf(stages, 'entrypoint')
  const [health] = allOf(stages, 'healthcheck')
  const { program, args } = inImage('registry', entrypoint?.command ?? [])
  const registry = spawn(program, args, {
    cwd: rootOf('registry'),
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      NEXODUS_REGISTRY_STATE_DIR: join(folder.path, 'state'),
      NEXODUS_REGISTRY_LISTEN: `127.0.0.1:${port}`,
      NEXODUS_REGISTRY_RENDEZVOUS_LISTEN: '/ip4/127.0.0.1/tcp/0',
      NEXODUS_REGISTRY_STUN_LISTEN: '127.0.0.1:0',
    },
  })
  try {
    const command = (health?.command ?? []).map((word) => word.replace(':3000/', `:${port}/`))
    const check = inImage('registry', command)
    const isHealthy = () => spawnSync(check.program, check.args).status === 0
    assert.not(isHealthy(), 'before it listens')
    for (let tries = 0; tries < 60 && !isHealthy(); tries += 1) await sleep(250)
    assert.ok(isHealthy(), 'once it listens')
  } finally {
    registry.kill('SIGTERM')
    if (registry.exitCode === null) await once(registry, 'exit')
  }
})

rule('run the agent, unhealthy while there is no daemon to answer', () => {
  const stages = stagesOf('agent')
  const [entrypoint] = allOf(stages, 'entrypoint')
  const [command] = allOf(stages, 'cmd')
  const words = [...(entrypoint?.command ?? []), ...(command?.command ?? []), '--help']
  const { program, args } = inImage('agent', words)
  const help = spawnSync(program, args, { encoding: 'utf8' })
  assert.is(help.status, 0, help.stderr)
  assert.match(help.stdout, '--registration-key')
  const [health] = allOf(stages, 'healthcheck')
  assert.equal(health?.command, ['nexctl', 'status'])
  const nexctl = inImage('agent', ['node', '/nexodus/agent/nexctl.js', 'status'])
  const socket = join(folder.path, 'nobody.sock')
  const status = spawnSync(nexctl.program, [...nexctl.args, '--socket', socket])
  assert.is(status.status, 1)
})

rule.run()
