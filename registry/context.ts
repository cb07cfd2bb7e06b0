/** What nearly every part of the registry is handed: time, randomness, log, records and configuration. */
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import type { Config } from './config.ts'
import type { KeyEncryptionKeys } from './key-encryption.ts'
import type { Database } from './store/database.ts'

export interface RegistryContext {
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
  readonly database: Database
  readonly config: Config
  /** Where several registries share the store; see config.ts. */
  readonly keyEncryptionKeys?: KeyEncryptionKeys
  /** As browsers and agents reach the registry; without a trailing slash. */
  readonly publicUrl: string
}
