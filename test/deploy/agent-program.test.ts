// time limit: 120 s
/** The agent as it is deployed: few files, which are the same programs as the sources. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type AgentProgram, agentProgram, DIST } from '../../deploy/agent-program.ts'

let program: AgentProgram

/** What Node reads of it before the first line runs, and its size. */
function readAtOnce(file: string, found = new Set<string>()): ReadonlySet<string> {
  found.add(file)
  const text = readFileSync(file, 'utf8')
  for (const [, path = ''] of text.matchAll(/^(?:const \S+ = )?require\("(\.[^"]+)"\);$/gm)) {
    const next = join(dirname(file), path)
    if (!found.has(next)) readAtOnce(next, found)
  }
  return found
}

/** The chunk that a file loads later, by the beginning of its name. */
function loadedLater(file: string, name: string): string {
  const [, path = ''] =
    new RegExp(`=> require\\("\\./(${name}-[^"]+)"\\)`).exec(readFileSync(file, 'utf8')) ?? []
  assert.ok(path !== '', `${file} loads ${name}`)
  return join(dirname(file), path)
}

const rule = suite('agent program')

rule.before(async () => {
  program = await agentProgram()
})

rule('is made once, also by several at the same time', async () => {
  const again = await Promise.all([agentProgram(), agentProgram()])
  assert.equal(again, [program, program])
})

rule('keeps what a daemon may run from when it is built again', () => {
  const build = () => spawnSync(process.execPath, ['deploy/build.ts'], { encoding: 'utf8' })
  const { status, stdout, stderr } = build()
  assert.is(status, 0, stderr)
  assert.is(stdout, 'dist/current/agent/nexd.js and nexctl.js\n')
  const before = join(DIST, '0'.repeat(16))
  mkdirSync(before)
  try {
    build()
    assert.ok(existsSync(before))
  } finally {
    rmSync(before, { recursive: true })
  }
})

for (const [name, words] of [
  ['nexd', ['up']],
  ['nexctl', []],
] as const) {
  rule(`says what the sources say (${name})`, () => {
    const source = name === 'nexd' ? 'agent/nexd.js' : 'agent/nexctl.ts'
    const [built, fromSources] = [program[name], source].map((path) =>
      spawnSync(process.execPath, [path, ...words, '--help'], { encoding: 'utf8' }),
    )
    assert.is(built?.status, 0, built?.stderr)
    assert.is(built?.stdout, fromSources?.stdout)
  })
}

rule('has the files that it runs and reads where it looks for them', () => {
  for (const file of ['nexd.js', 'tunnel/userspace/tun-thread.js', 'stack/lwip/lwip.wasm'])
    assert.ok(existsSync(join(dirname(program.nexd), file)), file)
})

rule('loads koffi by its file for this system, which takes a third of the time', () => {
  const agent = dirname(program.nexd)
  const [koffi = ''] = readdirSync(agent).filter((file) => file.includes('koffi-of-system'))
  const text = readFileSync(join(agent, koffi), 'utf8')
  assert.match(text, /require\("@koromix\/koffi-" \+ process\.platform/)
  const words = 'process.stdout.write(String(typeof require(process.argv[1]).default.load))'
  const { stdout } = spawnSync(process.execPath, ['-e', words, join(agent, koffi)], {
    encoding: 'utf8',
  })
  assert.is(stdout, 'function')
})

rule('opens the compile cache before it reads anything else', () => {
  const files = [...readAtOnce(program.nexd)].map((file) => readFileSync(file, 'utf8').length)
  assert.ok(files.reduce((sum, size) => sum + size, 0) < 20_000, files.join())
})

rule('reads few files before its first packet, and neither zod, libp2p nor express', () => {
  const files = [...readAtOnce(loadedLater(program.nexd, 'nexd'))]
  assert.ok(files.some((file) => basename(file).startsWith('paths-')))
  assert.ok(files.length < 12, files.join('\n'))
  const text = files.map((file) => readFileSync(file, 'utf8')).join('\n')
  for (const library of ['zod', 'libp2p', '@libp2p/gossipsub', 'express'])
    assert.not.match(text, `node_modules/${library}/`)
  assert.match(text, 'node_modules/cborg/')
})

rule('reads little more to attach to relays', () => {
  const paths = [...readAtOnce(loadedLater(program.nexd, 'nexd'))].find((file) =>
    basename(file).startsWith('paths-'),
  )
  const files = [...readAtOnce(loadedLater(paths ?? '', 'relays'))]
  assert.not(
    files.some((file) => /^(mesh|rest)-/.test(basename(file))),
    files.join(),
  )
})

rule.run()
