// time limit: 240 s
/** The walls of the house are lint rules: one breach of each, in a copy of the tree's plan, is reported. */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { tempDir } from '../support/temp-dir.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const USED = 'export const used = 1\n'

interface Breach {
  /** The files that break the rule; the first is the one to be reported. */
  readonly files: Readonly<Record<string, string>>
  /** What the linter says: a rule's name, or the wall's own words. */
  readonly says: string
}

const BREACHES: Record<string, Breach> = {
  'libp2p outside agent/mesh/': {
    files: { 'agent/path/a.ts': "import { createLibp2p } from 'libp2p'\nvoid createLibp2p\n" },
    says: 'only agent/mesh/ knows libp2p',
  },
  'a package of libp2p outside agent/mesh/': {
    files: { 'agent/a.ts': "import { tcp } from '@libp2p/tcp'\nvoid tcp\n" },
    says: 'only agent/mesh/ knows libp2p',
  },
  'node:crypto in agent/': {
    files: { 'agent/a.ts': "import { sign } from 'node:crypto'\nvoid sign\n" },
    says: 'crypto/ is the one door to cryptography',
  },
  'node:crypto in agent/mesh/': {
    files: { 'agent/mesh/a.ts': "import { sign } from 'node:crypto'\nvoid sign\n" },
    says: 'crypto/ is the one door to cryptography',
  },
  'node:crypto in registry/': {
    files: { 'registry/a.ts': "import { sign } from 'node:crypto'\nvoid sign\n" },
    says: 'crypto/ is the one door to cryptography',
  },
  'noble in registry/': {
    files: { 'registry/a.ts': "import { Point } from '@noble/ed25519'\nvoid Point\n" },
    says: 'crypto/ is the one door to cryptography',
  },
  'node:crypto in protocol/': {
    files: { 'protocol/a.ts': "import { sign } from 'node:crypto'\nvoid sign\n" },
    says: 'protocol/ is pure: ../crypto only',
  },
  'node:fs in protocol/': {
    files: { 'protocol/a.ts': "import { readFileSync } from 'node:fs'\nvoid readFileSync\n" },
    says: 'protocol/ is pure: ../crypto only',
  },
  'libp2p in protocol/': {
    files: { 'protocol/a.ts': "import { tcp } from '@libp2p/tcp'\nvoid tcp\n" },
    says: 'protocol/ is pure: ../crypto only',
  },
  'agent/ in protocol/': {
    files: {
      'protocol/a.ts': "import { used } from '../agent/used.ts'\nvoid used\n",
      'agent/used.ts': USED,
    },
    says: 'protocol/ is pure: ../crypto only',
  },
  'protocol/ in crypto/': {
    files: {
      'crypto/a.ts': "import { used } from '../protocol/used.ts'\nvoid used\n",
      'protocol/used.ts': USED,
    },
    says: 'crypto/ imports nothing of ours',
  },
  'registry/ in agent/': {
    files: {
      'agent/a.ts': "import { used } from '../registry/used.ts'\nvoid used\n",
      'registry/used.ts': USED,
    },
    says: 'agent/ imports crypto/ and protocol/ only',
  },
  'registry/ in agent/mesh/': {
    files: {
      'agent/mesh/a.ts': "import { used } from '../../registry/used.ts'\nvoid used\n",
      'registry/used.ts': USED,
    },
    says: 'agent/ imports crypto/ and protocol/ only',
  },
  'agent/ in registry/': {
    files: {
      'registry/a.ts': "import { used } from '../agent/used.ts'\nvoid used\n",
      'agent/used.ts': USED,
    },
    says: 'registry/ imports crypto/ and protocol/ only',
  },
  'test/ in simulations/': {
    files: {
      'simulations/a.ts': "import { used } from '../test/used.ts'\nvoid used\n",
      'test/used.ts': USED,
    },
    says: 'simulations/ knows nothing of test/',
  },
  'the time of day in protocol/': {
    files: { 'protocol/a.ts': 'export const now = (): number => Date.now()\n' },
    says: 'protocol/ takes time and randomness as arguments',
  },
  'randomness in protocol/': {
    files: { 'protocol/a.ts': 'export const draw = (): number => Math.random()\n' },
    says: 'protocol/ takes time and randomness as arguments',
  },
  'a timer in protocol/': {
    files: { 'protocol/a.ts': 'setTimeout(() => {}, 1)\n' },
    says: 'protocol/ takes time and randomness as arguments',
  },
  'two files that import each other': {
    files: {
      'agent/a.ts': "import { b } from './b.ts'\nexport const a = (): number => b()\n",
      'agent/b.ts': "import { a } from './a.ts'\nexport const b = (): number => a()\n",
    },
    says: 'noImportCycles',
  },
  'a console in the product': {
    files: { 'registry/a.ts': "console.log('hello')\n" },
    says: 'noConsole',
  },
  'a package that package.json does not name': {
    files: { 'agent/a.ts': "import pad from 'left-pad'\nvoid pad\n" },
    says: 'noUndeclaredDependencies',
  },
  'a promise nobody waits for': {
    files: { 'agent/a.ts': 'async function work(): Promise<void> {}\nwork()\n' },
    says: 'noFloatingPromises',
  },
  'an any': {
    files: { 'agent/a.ts': 'export const a = (value: any): string => String(value)\n' },
    says: 'noExplicitAny',
  },
  'a default export': {
    files: { 'agent/a.ts': 'export default function a(): void {}\n' },
    says: 'noDefaultExport',
  },
  'a file of 301 lines': {
    files: { 'agent/a.ts': 'export const A = [\n'.concat('  1,\n'.repeat(299), ']\n') },
    says: 'noExcessiveLinesPerFile',
  },
  'a function whose body has 41 lines': {
    files: {
      'agent/a.ts': `export function a(): void {\n${'  void 0\n'.repeat(41)}}\n`,
    },
    says: 'noExcessiveLinesPerFunction',
  },
}

/** Each rule of each file that is broken, with the linter's words. */
async function lint(files: Readonly<Record<string, string>>): Promise<string> {
  await using tree = await tempDir()
  await mkdir(join(tree.path, 'protocol'))
  for (const name of ['biome.json', 'package.json', 'protocol/pure.grit', '.gitignore']) {
    await copyFile(join(ROOT, name), join(tree.path, name))
  }
  await symlink(join(ROOT, 'node_modules'), join(tree.path, 'node_modules'))
  await tree.write(files)
  const biome = join(ROOT, 'node_modules/.bin/biome')
  const { stdout, stderr } = spawnSync(
    biome,
    ['lint', '--vcs-enabled=false', '--max-diagnostics=none', '--reporter=github', '.'],
    { cwd: tree.path, encoding: 'utf8' },
  )
  return stdout + stderr
}

const wall = suite('walls')

for (const [what, { files, says }] of Object.entries(BREACHES)) {
  wall(`report ${what}`, async () => {
    const output = await lint(files)
    const [file = ''] = Object.keys(files)
    assert.ok(
      output.split('\n').some((line) => line.includes(`/${file},`) && line.includes(says)),
      `${says} at ${file} is not in:\n${output}`,
    )
  })
}

wall('let through what they are for', async () => {
  const output = await lint({
    'crypto/used.ts': USED,
    'protocol/used.ts': "import { used } from '../crypto/used.ts'\nexport const twice = used * 2\n",
    'agent/mesh/node.ts':
      "import { tcp } from '@libp2p/tcp'\nimport { twice } from '../../protocol/used.ts'\nexport const both = [tcp, twice]\n",
    'registry/a.ts': "import { twice } from '../protocol/used.ts'\nexport const b = twice\n",
  })
  assert.not.match(output, 'error')
})

wall.run()
