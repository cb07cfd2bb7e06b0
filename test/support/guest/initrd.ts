/** The guest's files, as an initial file system: programs of this host with their libraries, the sources, the modules of
 *  the kernel, and the first process. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GuestKernel } from './kernel.ts'

/** What init.sh and the tests run. */
const PROGRAMS = [
  ...['bash', 'sh', 'mount', 'stty', 'modprobe', 'sysctl', 'setpriv', 'sleep', 'mkdir'],
  ...['cat', 'dd', 'grep', 'head', 'ln', 'ls', 'sha256sum', 'true', 'wc'],
  ...['ip', 'ss', 'nft', 'wg', 'ping', 'curl'],
]
const SOURCES = ['agent', 'crypto', 'protocol', 'simulations', 'test', 'package.json']
/** Of node_modules: what tunnels, stack and proxy import, and the test library with what it imports. */
const MODULES = [
  ...['@noble', '@koromix', 'cborg', 'ipaddr.js', 'koffi', 'zod'],
  ...['uvu', 'dequal', 'diff', 'kleur', 'mri', 'sade'],
]
const HOST_FILES = ['/etc/hosts', '/etc/nsswitch.conf', '/etc/protocols', '/etc/services']
/** Of the kernel's: what packets and their encryption need. */
const KERNEL_FOLDERS = ['arch', 'crypto', 'lib', 'net', 'drivers/net']
const FOLDERS = ['dev', 'proc', 'sys', 'run', 'tmp', 'root', 'var', 'usr']
const LINKS = ['bin', 'sbin', 'lib', 'lib64']

export interface InitrdOptions {
  readonly kernel: GuestKernel
  readonly root: string
  /** What the guest runs. */
  readonly file: string
  readonly watch: string
}

/** Throws where a program is missing. @param initrd the file that is written */
export function writeInitrd(initrd: string, options: InitrdOptions): void {
  const { kernel, root } = options
  const programs = [process.execPath, ...PROGRAMS.map(pathOf)]
  const skeleton = mkdtempSync(`${initrd}-`)
  writeSkeleton(skeleton, options)
  writeFileSync(initrd, '')
  append(initrd, skeleton, namesBelow(skeleton), 'keep links')
  append(initrd, kernel.root, modulesOf(kernel))
  append(initrd, '/', [
    ...[...programs, ...librariesOf(programs)].map(realName),
    ...HOST_FILES.filter((file) => existsSync(file)),
    ...[...SOURCES, ...MODULES.map((name) => `node_modules/${name}`)].flatMap((name) =>
      filesBelow(join(root, name)),
    ),
  ])
  rmSync(skeleton, { recursive: true })
}

function writeSkeleton(folder: string, { file, watch, root }: InitrdOptions): void {
  for (const name of FOLDERS) mkdirSync(join(folder, name))
  chmodSync(join(folder, 'tmp'), 0o1777)
  for (const name of LINKS) {
    mkdirSync(join(folder, 'usr', name))
    symlinkSync(`usr/${name}`, join(folder, name))
  }
  symlinkSync('/run', join(folder, 'var/run'))
  const init = join(folder, 'init')
  copyFileSync(fileURLToPath(new URL('init.sh', import.meta.url)), init)
  chmodSync(init, 0o755)
  const words = { folder: root, node: process.execPath, watch, file }
  const lines = Object.entries(words).map(([name, word]) => `${name}=${quoted(word)}\n`)
  writeFileSync(join(folder, 'guest-words'), lines.join(''))
}

/** For a shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

function pathOf(program: string): string {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':')
  const folder = folders.find((each) => existsSync(join(each, program)))
  if (folder === undefined) throw new Error(`the guest needs ${program}, which is not installed`)
  return join(folder, program)
}

function librariesOf(programs: readonly string[]): readonly string[] {
  const said = execFileSync('ldd', programs, { encoding: 'utf8' })
  return [...new Set([...said.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? ''))]
}

/** Without links in its folder's name: in the guest they lie elsewhere. */
function realName(path: string): string {
  return join(realpathSync(dirname(path)), basename(path))
}

function modulesOf({ root, release }: GuestKernel): readonly string[] {
  const inside = join('usr/lib/modules', release)
  const lists = readdirSync(join(root, inside)).filter((name) => name.startsWith('modules.'))
  const folders = KERNEL_FOLDERS.map((name) => join(root, inside, 'kernel', name))
  return [
    ...lists.map((name) => join(inside, name)),
    ...folders.flatMap(filesBelow).map((path) => path.slice(root.length + 1)),
  ]
}

function filesBelow(path: string): readonly string[] {
  if (!lstatSync(path).isDirectory()) return [path]
  return namesBelow(path).map((name) => join(path, name))
}

function namesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
}

/** Adds an archive to those in the file: the kernel unpacks one after the other.
 *  @param paths of files, relative to the folder or to / */
function append(
  initrd: string,
  folder: string,
  paths: readonly string[],
  links: 'follow links' | 'keep links' = 'follow links',
): void {
  const names = new Set<string>()
  for (const path of paths) {
    const name = path.replace(/^\//, '')
    const parts = name.split('/')
    for (const [index] of parts.entries()) names.add(parts.slice(0, index + 1).join('/'))
  }
  const words = ['--create', '--format=newc', '--null', '--quiet']
  const output = openSync(initrd, 'a')
  try {
    execFileSync('cpio', [...words, ...(links === 'keep links' ? [] : ['--dereference'])], {
      cwd: folder,
      input: [...names].join('\0'),
      stdio: ['pipe', output, 'inherit'],
    })
  } finally {
    closeSync(output)
  }
}
