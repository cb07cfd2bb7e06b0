/** The README promises what is there: dependencies, commands, folders, links. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))

const RECORD = z.record(z.string(), z.string())
const { scripts, dependencies, devDependencies, bin } = z
  .object({ scripts: RECORD, dependencies: RECORD, devDependencies: RECORD, bin: RECORD })
  .parse(JSON.parse(readFileSync('package.json', 'utf8')))
const readme = readFileSync('README.md', 'utf8')

/** The first column of the table in this section, without back-quotes. */
function firstColumn(section: string): string[] {
  const [, text = ''] =
    new RegExp(`^## ${section}$(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(readme) ?? []
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, cell]) => cell ?? '')
}

const rule = suite('README')

rule('gives every direct dependency a line of its own, and no other package', () => {
  const wanted = [...Object.keys(dependencies), ...Object.keys(devDependencies)]
  assert.equal(firstColumn('Dependencies').toSorted(), wanted.toSorted())
})

rule('maps every folder of the house', () => {
  const tracked = execFileSync('git', ['ls-tree', '-d', '--name-only', 'HEAD'], {
    encoding: 'utf8',
  })
  const folders = tracked
    .trim()
    .split('\n')
    .filter((folder) => !folder.startsWith('.'))
  const mapped = firstColumn('A map of the house').map((folder) => folder.replace(/\/$/, ''))
  assert.equal(mapped.toSorted(), folders.toSorted())
})

for (const file of ['README.md', 'deploy/README.md']) {
  const text = readFileSync(file, 'utf8')

  rule(`names only npm commands that there are (${file})`, () => {
    const named = [...text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)].map(
      ([, name]) => name,
    )
    const strange = named.filter((name) => name === undefined || scripts[name] === undefined)
    assert.equal(strange, [])
    assert.ok(scripts['test'])
  })

  rule(`links only to files that there are (${file})`, () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, link]) => link ?? '')
    assert.equal(
      links.filter((link) => !existsSync(join(dirname(file), link))),
      [],
    )
  })
}

rule('stands beside scripts and programs whose files are there', () => {
  const started = Object.values(scripts).flatMap((script) =>
    [...script.matchAll(/\bnode ([\w/.-]+\.ts)/g)].map(([, path]) => path ?? ''),
  )
  const missing = [...started, ...Object.values(bin)].filter((path) => !existsSync(path))
  assert.equal(missing, [])
})

rule('stands beside exact versions', () => {
  const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
    ([, version]) => !/^(npm:@libp2p\/noise@)?\d+\.\d+\.\d+$/.test(version),
  )
  assert.equal(loose, [])
})

rule('says whose licence it is under', () => {
  assert.match(readFileSync('LICENSE', 'utf8'), /Apache License\s+Version 2\.0, January 2004/)
})

rule.run()
