/** The guest's kernel: Debian's package of the cloud kernel, downloaded once and never installed. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface GuestKernel {
  readonly image: string
  /** Its `lib/modules` has modules.dep, and is of this release. */
  readonly root: string
  readonly release: string
}

/** Depends on the newest kernel; 27 MB. */
const PACKAGE = 'linux-image-cloud-amd64'
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nexodus', 'kernel')

/** Throws with what apt says where it can't be had. */
export function guestKernel(): GuestKernel {
  const name = newestPackage()
  const root = join(CACHE, fileOf(name).replace(/\.deb$/, ''))
  if (!existsSync(root)) download(name, root)
  const [release] = readdirSync(join(root, 'lib/modules'))
  if (release === undefined) throw new Error(`${name} has no modules`)
  return { image: join(root, `boot/vmlinuz-${release}`), root, release }
}

/** Does apt know the package? It does not before its first update. */
export function isKernelKnown(): boolean {
  try {
    newestPackage()
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

function newestPackage(): string {
  const said = output('apt-cache', ['depends', '--important', PACKAGE])
  const name = /^ +Depends: (linux-image-\S+)$/m.exec(said)?.[1]
  if (name === undefined) throw new Error(`apt knows no ${PACKAGE} (apt-get update)`)
  return name
}

/** Of its version, so that a newer one is downloaded again. */
function fileOf(name: string): string {
  const file = / (\S+\.deb) /.exec(output('apt-get', ['download', '--print-uris', name]))?.[1]
  if (file === undefined) throw new Error(`apt knows no file of ${name}`)
  return file
}

/** Appears whole or not at all. */
function download(name: string, root: string): void {
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'new-'))
  try {
    output('apt-get', ['--quiet', 'download', name], folder)
    const [file] = readdirSync(folder)
    output('dpkg-deb', ['--extract', join(folder, file ?? ''), join(folder, 'root')])
    // As Debian's systems have it.
    renameSync(join(folder, 'root/lib'), join(folder, 'root/usr/lib'))
    symlinkSync('usr/lib', join(folder, 'root/lib'))
    const [release] = readdirSync(join(folder, 'root/lib/modules'))
    output('depmod', ['--basedir', join(folder, 'root'), release ?? ''])
    if (!existsSync(root)) renameSync(join(folder, 'root'), root)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function output(command: string, words: readonly string[], cwd = '/'): string {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
  return execFileSync(command, words, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH: path, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
