/** A Debian package's files, downloaded once and never installed: for programs that would change the machine. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const CACHE = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'nexodus',
  'packages',
)

/** Does apt know the package? It does not before its first update. */
export function isPackageKnown(name: string): boolean {
  try {
    fileOf(name)
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

/** The folder of its files. Throws with what apt says where it can't be had.
 *  @param prepare called once with the folder, before anybody sees it */
export function packageFiles(
  name: string,
  prepare: (folder: string) => void = () => undefined,
): string {
  const root = join(CACHE, fileOf(name).replace(/\.deb$/, ''))
  if (existsSync(root)) return root
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'new-'))
  try {
    output('apt-get', ['--quiet', 'download', name], folder)
    const [file] = readdirSync(folder)
    output('dpkg-deb', ['--extract', join(folder, file ?? ''), join(folder, 'root')])
    prepare(join(folder, 'root'))
    // Whole or not at all; another test may have been quicker.
    if (!existsSync(root)) renameSync(join(folder, 'root'), root)
    return root
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Of its version, so that a newer one is downloaded again. */
function fileOf(name: string): string {
  const file = / (\S+\.deb) /.exec(output('apt-get', ['download', '--print-uris', name]))?.[1]
  if (file === undefined) throw new Error(`apt knows no file of ${name}`)
  return file
}

/** What a command printed. Throws with what it said where it failed. */
export function output(command: string, words: readonly string[], cwd = '/'): string {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
  return execFileSync(command, words, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH: path, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
