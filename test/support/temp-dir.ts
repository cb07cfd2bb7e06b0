/** A folder of its own for a test: `await using folder = await tempDir()`, gone at the end of the scope. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface TempDir extends AsyncDisposable {
  readonly path: string
  /** Writes files, with the folders they are in; the keys are relative paths. */
  write(files: Readonly<Record<string, string>>): Promise<void>
}

export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), 'nexodus-test-'))
  return {
    path,
    async write(files) {
      for (const [name, content] of Object.entries(files)) {
        await mkdir(dirname(join(path, name)), { recursive: true })
        await writeFile(join(path, name), content)
      }
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}
