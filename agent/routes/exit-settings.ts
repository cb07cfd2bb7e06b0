/** Exit settings: which exit the operator wants, kept over restarts. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { EXIT_OFF, EXIT_SETTINGS, type ExitSettings } from './exit-choice.ts'

const NONE: ExitSettings = { preference: { kind: 'off' }, allowLocal: false }

export interface KeptExitSettings {
  current(): ExitSettings
  /** Resolves when it is on disk. */
  set(settings: ExitSettings): Promise<void>
}

/** What can't be read counts as off, and is said. */
export async function openExitSettings(file: string, log: Log): Promise<KeptExitSettings> {
  let current = await read(file, log)
  return {
    current: () => current,
    set: async (settings) => {
      await writeFile(`${file}.new`, JSON.stringify(settings), { mode: 0o600, flush: true })
      await rename(`${file}.new`, file)
      current = settings
    },
  }
}

async function read(file: string, log: Log): Promise<ExitSettings> {
  try {
    return EXIT_SETTINGS.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return NONE
    log('error', 'exit-node.settings-unreadable', { file, reason: explain(error) })
    return { ...NONE, preference: EXIT_OFF }
  }
}
