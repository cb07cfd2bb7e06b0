/** Compile cache: most of the time to the first packet is loading code; compiled once, it is kept.
 *
 *  In JavaScript, as is `nexd.js`: what Node needs to read TypeScript takes longer to load than all of ours
 *  from the cache, and is not loaded where every file of TypeScript comes from there. */
import { existsSync, mkdirSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** @returns {string} where keys and all that is known are, unless the operator names another folder */
export function defaultStateDirectory() {
  return process.getuid?.() === 0 ? '/var/lib/nexd' : join(homedir(), '.nexodus')
}

/** The state directory that a command line names, found without the parser of command lines.
 *  @param {readonly string[]} args
 *  @param {Readonly<Record<string, string | undefined>>} env
 *  @returns {string} */
export function stateDirectoryOf(args, env) {
  const option = '--state-dir'
  const at = args.findLastIndex((arg) => arg === option || arg.startsWith(`${option}=`))
  const named = args[at] === option ? args[at + 1] : args[at]?.slice(option.length + 1)
  return named ?? env['NEXODUS_STATE_DIR'] ?? defaultStateDirectory()
}

/** Uses what an earlier run compiled; makes no folder.
 *  @param {string} stateDirectory
 *  @returns {void} */
export function useCompiledCode(stateDirectory) {
  const folder = folderIn(stateDirectory)
  if (existsSync(folder)) enableCompileCache(folder)
}

/** Keeps what is compiled from now on in the state directory, where nobody else can put code.
 *  @param {string} stateDirectory
 *  @returns {void} */
export function keepCompiledCode(stateDirectory) {
  try {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  } catch (error) {
    // Whoever opens the state directory says what is wrong with it, and what to do.
    if (error instanceof Error && 'code' in error) return
    throw error
  }
  enableCompileCache(folderIn(stateDirectory))
}

/** Writes what was compiled so far: a daemon may be killed before it could.
 *  @returns {void} */
export function writeCompiledCode() {
  flushCompileCache()
}

/** @param {string} stateDirectory
 *  @returns {string} */
function folderIn(stateDirectory) {
  return join(stateDirectory, 'compile-cache')
}
