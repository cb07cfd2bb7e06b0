/** What `nexodus-registry store …` does; see store-command.ts. */
import { join } from 'node:path'
import { randomBytes } from '../crypto/random.ts'
import type { Log } from '../protocol/log.ts'
import { backupLines, restoreBackup, writeBackup } from './backup.ts'
import { backupOfRunning } from './backup-socket.ts'
import { changeKeyEncryptionKey } from './key-encryption.ts'
import { makeKeyEncryptionKey, readKeyEncryptionKey } from './key-encryption-key.ts'
import { createLog } from './log.ts'
import { copyStore } from './store/copy.ts'
import { openDatabase } from './store/database.ts'
import { formatStoreLocation, type StoreLocation } from './store/location.ts'
import { openStore } from './store/open-store.ts'
import { refuseNewer, schemaVersion } from './store/schema.ts'
import { systemClock } from './system-clock.ts'

export interface Place {
  readonly stateDir: string
  readonly store?: StoreLocation
}

export async function makeKey(file: string): Promise<void> {
  await makeKeyEncryptionKey(file, randomBytes)
  say(`${file}: copy it to every registry of the store, and keep it as safe as a root key`)
}

function parts() {
  const log: Log = createLog('warn')
  return { clock: systemClock, randomBytes, log }
}

export async function copy(from: StoreLocation, to: StoreLocation): Promise<void> {
  await using source = await openStore(from, parts())
  await using target = await openStore(to, parts())
  const count = await copyStore(source, target)
  say(
    `${count} records are in ${formatStoreLocation(to)}. Key files of a state directory are not among them: ` +
      'start the first registry there with the --state-dir of before, and it seals them into the store ' +
      '(--key-encryption-key-file).',
  )
}

export async function backup(file: string, { stateDir, store: location }: Place): Promise<void> {
  const running = await backupOfRunning(stateDir)
  if (running === undefined) await backupStopped(file, stateDir, location)
  else await writeBackup(file, running)
  const of = running === undefined ? '' : ' of the running registry'
  say(`${file}: a backup${of}. It holds private keys: keep it as safe as ${stateDir}.`)
}

async function backupStopped(file: string, stateDirectory: string, at?: StoreLocation) {
  await using store = await openStore(locationOf(stateDirectory, at), parts())
  const createdAt = new Date(systemClock.nowMs()).toISOString()
  await writeBackup(file, backupLines({ store, stateDirectory, createdAt }))
}

export async function restore(file: string, { stateDir, store }: Place): Promise<void> {
  const location = locationOf(stateDir, store)
  say(await restoreBackup(file, { ...parts(), location, stateDirectory: stateDir }))
}

export async function changeKey(old: string, next: string, place: Place): Promise<void> {
  const from = await readKeyEncryptionKey(old, randomBytes)
  const to = await readKeyEncryptionKey(next, randomBytes)
  await using store = await openStore(locationOf(place.stateDir, place.store), parts())
  refuseNewer((await schemaVersion(store)) ?? 0, 'the store')
  const { sealed, before } = await changeKeyEncryptionKey(openDatabase(store, parts()), from, to)
  say(
    `${sealed} keys are sealed with ${next} now, ${before} were before. Restart every registry with ` +
      `--key-encryption-key-file ${next} alone. Backups of before still need ${old}.`,
  )
}

function locationOf(stateDirectory: string, store: StoreLocation | undefined): StoreLocation {
  return store ?? { kind: 'level', directory: join(stateDirectory, 'store') }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
