/** Agent program: nexd and nexctl as few files of JavaScript. The same code as the sources, which are some 200 files
 *  to the first packet and 1,000 with the packages: finding those takes longer than running them. */
import { createHash, randomUUID } from 'node:crypto'
import { copyFile, glob, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CodeSplittingGroup, type OutputOptions, type Plugin, rolldown } from 'rolldown'

/** Paths. */
export interface AgentProgram {
  readonly nexd: string
  readonly nexctl: string
}

export interface BuiltAgentProgram extends AgentProgram {
  /** The folder's name: of what it was made. */
  readonly key: string
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Beside `node_modules/`, where the build finds what it does not hold. */
export const DIST: string = join(ROOT, 'dist')
/** They load libraries of machine code from their own folders. */
const NOT_BUNDLED = ['classic-level/binding.js']
const COPIED = ['agent/stack/lwip/lwip.wasm']
const SOURCES = '{agent,crypto,protocol}/**/*.{ts,js,wasm}'

const KOFFI = '\0koffi-of-system'

/** What finds the machine code of `classic-level` stays in its folder, and the rest of it need not. */
const LEVEL_BINDING: Plugin = {
  name: 'level-binding',
  resolveId(source, importer) {
    if (source !== './binding' || importer?.includes('/classic-level/') !== true) return undefined
    return { id: 'classic-level/binding.js', external: true }
  },
}

/** koffi's own file for a system, which finds the machine code there: 2 ms of a start, and 7 by way of the file that knows
 *  all systems. */
const KOFFI_OF_SYSTEM: Plugin = {
  name: 'koffi-of-system',
  resolveId: (source, importer) => {
    if (source !== 'koffi') return undefined
    return importer === KOFFI ? { id: source, external: true } : { id: KOFFI }
  },
  load: (id) =>
    id === KOFFI
      ? `let koffi
         try { koffi = require('@koromix/koffi-' + process.platform + '-' + process.arch) }
         catch { koffi = require('koffi') }
         module.exports = koffi.default ?? koffi`
      : undefined,
}

/** A chunk of these files of agent/ and all that they import. */
function chunk(name: string, priority: number, files: string): CodeSplittingGroup {
  return { name, priority, test: new RegExp(`/agent/(${files})\\.[jt]s$`) }
}

/** Not built. */
export const AGENT_SOURCES: AgentProgram = {
  nexd: join(ROOT, 'agent/nexd.js'),
  nexctl: join(ROOT, 'agent/nexctl.ts'),
}

/** In the order in which nexd needs them: each is read at once. */
const CHUNKS: CodeSplittingGroup[] = [
  chunk('compile-cache', 5, 'compile-cache'),
  chunk('paths', 4, 'nexd-up|joining|daemon|path/paths|host/open-rtnetlink'),
  chunk('relays', 3, 'relay-side'),
  chunk('mesh', 2, 'mesh/(load|mesh)|log-lines'),
  chunk('rest', 1, 'own-approvals|view|names-side|renewal|control/server|routes/route-side'),
]

/** Makes it unless it is there: its folder in `dist/` has the name of what it was made of, and several processes may
 *  ask at once. Throws where a source cannot be bundled. */
export async function agentProgram(): Promise<BuiltAgentProgram> {
  const key = await sourcesKey()
  const folder = join(DIST, key)
  const agent = (name: string): string => join(folder, 'agent', name)
  const program = { key, nexd: agent('nexd.js'), nexctl: agent('nexctl.js') }
  if (await isThere(folder)) return program
  const made = join(DIST, randomUUID())
  try {
    await make(made)
    await rename(made, folder).catch(async (error: unknown) => {
      if (!(await isThere(folder))) throw error
    })
  } finally {
    await rm(made, { recursive: true, force: true })
  }
  return program
}

async function make(folder: string): Promise<void> {
  await bundle({ nexctl: 'agent/nexctl.ts' }, folder)
  await bundle(
    {
      nexd: 'agent/nexd.js',
      'tunnel/userspace/tun-thread': 'agent/tunnel/userspace/tun-thread.ts',
    },
    folder,
    { codeSplitting: { groups: CHUNKS } },
  )
  for (const file of COPIED) {
    await mkdir(join(folder, dirname(file)), { recursive: true })
    await copyFile(join(ROOT, file), join(folder, file))
  }
  // Node need not find out what kind of JavaScript it is.
  await writeFile(join(folder, 'package.json'), '{ "type": "commonjs" }\n')
}

async function bundle(
  input: Readonly<Record<string, string>>,
  folder: string,
  more: OutputOptions = {},
): Promise<void> {
  const made = await rolldown({
    cwd: ROOT,
    input: { ...input },
    platform: 'node',
    external: NOT_BUNDLED,
    plugins: [LEVEL_BINDING, KOFFI_OF_SYSTEM],
    // mesh/load.ts loads libraries one after the other, for the sources' sake.
    checks: { ineffectiveDynamicImport: false },
    onLog: (_level, { message }) => {
      throw new Error(message)
    },
  })
  try {
    await made.write({
      dir: folder,
      // An ES module that imports a built-in one makes Node read all its exports, and load what nobody uses.
      format: 'cjs',
      comments: { annotation: false, jsdoc: false },
      // All code is in one folder (agent/program-files.ts).
      entryFileNames: 'agent/[name].js',
      chunkFileNames: 'agent/[name]-[hash].js',
      ...more,
    })
  } finally {
    await made.close()
  }
}

async function sourcesKey(): Promise<string> {
  const files = await Array.fromAsync(glob(SOURCES, { cwd: ROOT }))
  const hash = createHash('sha256')
  for (const file of [...files.toSorted(), 'package-lock.json', 'deploy/agent-program.ts']) {
    hash.update(`${file}\n`).update(await readFile(join(ROOT, file)))
  }
  return hash.digest('hex').slice(0, 16)
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
