#!/usr/bin/env node
/** The registry's program: `node registry/main.ts`, and nothing more to configure. */
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { KeyFileError } from '../crypto/key-file.ts'
import { randomBytes } from '../crypto/random.ts'
import { registryCommand } from './command-line.ts'
import { type Config, ConfigError } from './config.ts'
import { createLog } from './log.ts'
import type { Registry } from './start.ts'
import { StoreError } from './store/store.ts'
import { systemClock } from './system-clock.ts'

/** From the signal to the end, whatever hangs. Milliseconds. */
const STOP_MS = 2_500

async function run(config: Config): Promise<void> {
  const log = createLog(config.logLevel)
  // Only now: what a wrong option or --help needs is loaded in a fraction of the time.
  const { startRegistry } = await import('./start.ts')
  const registry = await startRegistry(config, {
    version,
    clock: systemClock,
    randomBytes,
    log,
  })
  log('info', 'registry.started', { version, publicUrl: registry.publicUrl })
  const welcome = [`Nexodus registry ${version} at ${registry.publicUrl}`]
  if (registry.setupUrl !== undefined) {
    welcome.push(`Set up the first user within 15 minutes: ${registry.setupUrl}`)
  }
  stopOnSignals(registry)
  process.stdout.write(`${welcome.join('\n')}\n`)
}

function stopOnSignals(registry: Registry): void {
  let stopping = false
  const stop = () => {
    // A second signal does not wait.
    if (stopping) process.exit(1)
    stopping = true
    systemClock.after(STOP_MS, () => process.exit(1))
    registry[Symbol.asyncDispose]().then(() => process.exit(0), complain)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

function warn(text: string): void {
  process.stderr.write(`nexodus-registry: warning: ${text}\n`)
}

/** One line for what the operator can mend; the stack for what only we can. */
function complain(error: unknown): never {
  const known = [ConfigError, StoreError, KeyFileError].some((kind) => error instanceof kind)
  const text = error instanceof Error ? (known ? error.message : error.stack) : String(error)
  process.stderr.write(`nexodus-registry: ${text}\n`)
  process.exit(1)
}

const manifest: unknown = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const version =
  manifest !== null && typeof manifest === 'object' && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'

try {
  await registryCommand(version, run, warn).exitOverride().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode)
  complain(error)
}
