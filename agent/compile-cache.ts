/** Compile cache: most of the time to the first packet is loading code; compiled once, it is kept. */
import { mkdirSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { join } from 'node:path'

/** Call before the code is imported. It lies in the state directory, where nobody else can put code. */
export function keepCompiledCode(stateDirectory: string): void {
  try {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  } catch (error) {
    // Whoever opens the state directory says what is wrong with it, and what to do.
    if (error instanceof Error && 'code' in error) return
    throw error
  }
  enableCompileCache(join(stateDirectory, 'compile-cache'))
}

/** Writes what was compiled so far: a daemon may be killed before it could. */
export function writeCompiledCode(): void {
  flushCompileCache()
}
