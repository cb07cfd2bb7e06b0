/** State directory: what survives a restart, so that the agent starts without a registry.
 *
 *    device.key, wireguard.key   private keys, 0600
 *    join.json                   registry's URL, organization, name
 *    envelopes/                  every envelope known (level) */
import { access, constants, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import {
  type AgreementKeyPair,
  agreementKeyPairFromPrivate,
  generateAgreementKeyPair,
  privateBytesOf,
} from '../crypto/agreement.ts'
import { equal } from '../crypto/bytes.ts'
import { readKeyFile, writeKeyFile } from '../crypto/key-file.ts'
import { generateSigningKeyPair, seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import { type DeviceKeyPair, type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import { envelopeSeal } from './envelope-seal.ts'
import { OperatorError } from './errors.ts'
import { fieldsOf, textField, textsOf } from './json-fields.ts'

/** What enrolment left: where the registry is, and which organization's root is pinned. */
export interface Join {
  readonly registry: string
  readonly organization: OrganizationId
  readonly name: string
  readonly rendezvous: Rendezvous
  /** Others that may be asked where `registry` does not answer. */
  readonly registries: readonly string[]
}

export interface KeptEnvelopes {
  /** In the order of their ids. */
  readonly envelopes: readonly Uint8Array[]
  /** Has this device verified and kept just these? @param ids of all of them, as they are now */
  areVerified(ids: ReadonlySet<string>): boolean
}

export interface StateDirectory extends AsyncDisposable {
  readonly path: string
  readonly deviceKey: DeviceKeyPair
  readonly wireguardKey: AgreementKeyPair
  /** Undefined before enrolment. */
  readonly join: Join | undefined
  saveJoin(join: Join): Promise<void>
  envelopes(): Promise<KeptEnvelopes>
  /** Adds and removes in one synced write. @param verified ids of those that are there afterwards and were verified */
  keep(
    added: ReadonlyMap<string, Uint8Array>,
    removed: readonly string[],
    verified: ReadonlySet<string>,
  ): Promise<void>
}

/** The seal's key in the store: behind all ids, which are hexadecimal. */
const SEAL = 'seal'

/** Opens or makes it. Throws OperatorError (ERR_STATE_DIRECTORY) when it can't be written, is in use,
 *  or holds something unreadable; what is there is never overwritten. */
export async function openStateDirectory(path: string): Promise<StateDirectory> {
  await makeDirectory(path)
  const [files, opened] = await Promise.allSettled([readFiles(path), openStore(path)])
  if (files.status === 'rejected') {
    if (opened.status === 'fulfilled') await opened.value.close()
    throw files.reason
  }
  if (opened.status === 'rejected') throw opened.reason
  const store = opened.value
  const seal = envelopeSeal(files.value.deviceKey)
  return {
    path,
    ...files.value,
    saveJoin: (value) =>
      writeAtomically(join(path, 'join.json'), JSON.stringify(value, undefined, 2)),
    envelopes: async () => {
      const [envelopes, kept] = await Promise.all([
        store.values({ lt: SEAL }).all(),
        store.get(SEAL),
      ])
      return { envelopes, areVerified: (ids) => kept !== undefined && equal(kept, seal(ids)) }
    },
    keep: (added, removed, verified) =>
      store.batch(
        [
          ...[...added].map(([key, value]) => ({ type: 'put' as const, key, value })),
          ...removed.map((key) => ({ type: 'del' as const, key })),
          { type: 'put', key: SEAL, value: seal(verified) },
        ],
        { sync: true },
      ),
    [Symbol.asyncDispose]: () => store.close(),
  }
}

type Files = Pick<StateDirectory, 'deviceKey' | 'wireguardKey' | 'join'>

async function readFiles(path: string): Promise<Files> {
  const deviceKey = await deviceKeyIn(path)
  const wireguardKey = await wireguardKeyIn(path)
  return { deviceKey, wireguardKey, join: await readJoin(path) }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new OperatorError(
      'ERR_STATE_DIRECTORY',
      `cannot write state directory ${path} (run as its owner, or name another with --state-dir)`,
      { cause },
    )
  }
}

async function deviceKeyIn(path: string): Promise<DeviceKeyPair> {
  const file = join(path, 'device.key')
  const seed = await readKeyFile(file, 32)
  if (seed !== undefined) return signingKeyPairFromSeed<'device'>(seed)
  const pair = generateSigningKeyPair<'device'>()
  await writeKeyFile(file, seedOf(pair))
  return pair
}

async function wireguardKeyIn(path: string): Promise<AgreementKeyPair> {
  const file = join(path, 'wireguard.key')
  const bytes = await readKeyFile(file, 32)
  if (bytes !== undefined) return agreementKeyPairFromPrivate(bytes)
  const pair = generateAgreementKeyPair()
  await writeKeyFile(file, privateBytesOf(pair))
  return pair
}

async function readJoin(path: string): Promise<Join | undefined> {
  const file = join(path, 'join.json')
  let content: string
  try {
    content = await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new OperatorError('ERR_STATE_DIRECTORY', `cannot read ${file}`, { cause })
  }
  try {
    return parseJoin(JSON.parse(content))
  } catch (cause) {
    throw new OperatorError(
      'ERR_STATE_DIRECTORY',
      `${file} is corrupt (restore it, or move it away and enrol again; the keys are kept)`,
      { cause },
    )
  }
}

function parseJoin(value: unknown): Join {
  const join = fieldsOf(value, 'join')
  const rendezvous = fieldsOf(join['rendezvous'], 'rendezvous')
  return {
    registry: new URL(textField(join, 'registry')).href,
    organization: parseOrganizationId(textField(join, 'organization')),
    name: textField(join, 'name'),
    rendezvous: {
      multiaddrs: textsOf(rendezvous['multiaddrs'], 'multiaddrs'),
      stun: textsOf(rendezvous['stun'], 'stun'),
    },
    // Absent in those of older versions.
    registries: join['registries'] === undefined ? [] : textsOf(join['registries'], 'registries'),
  }
}

async function openStore(path: string): Promise<Level<string, Uint8Array>> {
  const store = new Level<string, Uint8Array>(join(path, 'envelopes'), { valueEncoding: 'view' })
  try {
    await store.open()
    return store
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    const isLocked = cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED'
    throw new OperatorError(
      'ERR_STATE_DIRECTORY',
      isLocked
        ? `${path} is in use by another nexd (stop it, or name another with --state-dir)`
        : `${join(path, 'envelopes')} is corrupt (move it away: with a registry or one peer in reach it fills again)`,
      { cause },
    )
  }
}

async function writeAtomically(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content, { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}
