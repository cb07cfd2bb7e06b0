/** A running registry: every part made, joined to the others, and ended in reverse. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import { createApi } from './api/api.ts'
import { callerOf } from './api/caller.ts'
import { openApiTokens } from './api-tokens.ts'
import { createApp } from './app.ts'
import { startBackupSocket } from './backup-socket.ts'
import { type Config, ConfigError, formatHostPort } from './config.ts'
import type { RegistryContext } from './context.ts'
import { openDeviceAuthorizations } from './device-authorization.ts'
import { openDevices } from './devices.ts'
import { openDirectories } from './directories.ts'
import { openEvents } from './events.ts'
import { followOthers } from './following.ts'
import { startHttpServer } from './http-server.ts'
import { createIdentity, type Identity } from './identity/identity.ts'
import { openInvitations } from './invitations.ts'
import { leastLeft } from './issuer-expiry.ts'
import { openIssuing } from './issuing.ts'
import { openKeyEncryption } from './key-encryption.ts'
import { type KeyEncryptionKey, readKeyEncryptionKey } from './key-encryption-key.ts'
import { type KeyStore, openKeyStore } from './key-store.ts'
import { openLogins } from './login-authorization.ts'
import { startMaintenance } from './maintenance.ts'
import { openMembers } from './members.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { startMetricsServer } from './metrics-server.ts'
import { openNetworks } from './network.ts'
import { openOrganizationLifecycle } from './organization-lifecycle.ts'
import { openPolicies } from './policy.ts'
import { type Presence, startPresence } from './presence.ts'
import { openRegistrationKeys } from './registration-keys.ts'
import { listeningOf } from './rendezvous/listening.ts'
import { type Rendezvous, startRendezvous } from './rendezvous/rendezvous.ts'
import { openRootCustody } from './root-custody.ts'
import { openSealedKeyStore } from './sealed-key-store.ts'
import { openDatabase } from './store/database.ts'
import type { StoreLocation } from './store/location.ts'
import { openStore } from './store/open-store.ts'
import { checkSchema } from './store/schema.ts'
import { openUserDeletion } from './user-deletion.ts'
import { renderProblem } from './web/layout.ts'
import { pages } from './web/pages.ts'

export interface RegistryParts {
  readonly version: string
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

export interface Registry extends AsyncDisposable {
  readonly publicUrl: string
  /** As this machine reaches it, without proxies. */
  readonly localUrl: string
  /** Where the first user sets up their account; undefined when there is one, or an external provider. */
  readonly setupUrl: string | undefined
}

/** Resolves once requests are answered. Throws ConfigError, StoreError or KeyFileError; what had been
 *  opened is closed then. */
export async function startRegistry(config: Config, parts: RegistryParts): Promise<Registry> {
  await using opened = new AsyncDisposableStack()
  await makeStateDirectory(config.stateDirectory)
  const givenKeys = await keyEncryptionKeysOf(config, parts)
  const store = opened.use(await openStore(storeOf(config), { ...parts, recovery: parts }))
  await checkSchema(store)
  const { stateDirectory } = config
  const now = () => parts.clock.now()
  opened.use(await startBackupSocket({ store, stateDirectory, now, log: parts.log }))
  const server = opened.use(await startHttpServer(config.listen, parts, { tls: config.tls }))
  const publicUrl =
    config.publicUrl?.origin ?? `${server.protocol}://${formatHostPort(server.address)}`
  const { clock, randomBytes, log } = parts
  const database = openDatabase(store, parts)
  const keyEncryptionKeys = await openKeyEncryption(database, givenKeys)
  const context: RegistryContext = {
    ...{ clock, randomBytes, log, database, config, publicUrl },
    ...(keyEncryptionKeys !== undefined && { keyEncryptionKeys }),
  }
  const services = await openServices(context, server.localUrl)
  const rendezvous = opened.use(await openRendezvous(context, services))
  opened.use(followOthers({ ...context, ...services }))
  const { id, meeting } = rendezvous
  // Its addresses go into every manifest before the first request is answered.
  const presence = opened.use(
    await startPresence({ ...context, ...services, id, rendezvous: meeting }),
  )
  opened.use(startMaintenance(context, services, rendezvous.connected))
  const metrics = await openMetrics(context, services, parts.version, opened)
  const running = { rendezvous, presence, metrics, version: parts.version }
  server.answerWith(appOf(context, services, running))
  const setupUrl = await services.identity.firstUserUrl()
  const ending = opened.move()
  const { localUrl } = server
  return { publicUrl, localUrl, setupUrl, [Symbol.asyncDispose]: () => ending.disposeAsync() }
}

async function openServices(context: RegistryContext, localUrl: string) {
  const { config } = context
  const keys = await openKeys(context)
  const issuing = await openIssuing({ ...context, keys, stateDirectory: config.stateDirectory })
  const authorizations = openDeviceAuthorizations(context)
  const registrationKeys = openRegistrationKeys(context)
  const tokens = openApiTokens(context)
  const events = openEvents(context)
  const logins = openLogins({ ...context, tokens })
  const custody = openRootCustody({ ...context, issuing })
  const devices = openDevices({ ...context, issuing })
  const people = {
    members: openMembers({ ...context, issuing }),
    lifecycle: openOrganizationLifecycle({ ...context, issuing }),
    invitations: openInvitations({ ...context, issuing }),
    policies: openPolicies({ ...context, issuing }),
  }
  const directories = openDirectories({
    ...context,
    ...{ issuing, authorizations, registrationKeys, devices },
  })
  const identity: Identity = await createIdentity(context, {
    localUrl,
    found: (name, also, ranges) => issuing.found(name, also, ranges),
  })
  const userDeletion = openUserDeletion({ ...context, issuing, tokens, identity })
  return {
    userDeletion,
    issuing,
    custody,
    authorizations,
    registrationKeys,
    tokens,
    logins,
    events,
    devices,
    ...people,
    directories,
    identity,
  }
}

export type Services = Awaited<ReturnType<typeof openServices>>

async function openRendezvous(context: RegistryContext, { issuing }: Services) {
  const { config } = context
  return startRendezvous({
    ...{ ...context, ...listeningOf(config), issuing },
    stateDirectory: config.stateDirectory,
    announce: config.rendezvousAnnounce,
    stunAnnounce: config.stunAnnounce,
    relayRate: config.relayRate,
  })
}

/** In the store, sealed, where we have been given what opens them. */
async function openKeys(context: RegistryContext): Promise<KeyStore> {
  const { database, log, config, keyEncryptionKeys: keys } = context
  const files = await openKeyStore(config.stateDirectory)
  return keys === undefined ? files : openSealedKeyStore({ database, keys, files, log })
}

/** Throws ConfigError where several registries would each have keys of their own. */
async function keyEncryptionKeysOf(
  { keyEncryptionKeyFile: file, otherKeyEncryptionKeyFile: other, store }: Config,
  { randomBytes }: RegistryParts,
): Promise<readonly KeyEncryptionKey[]> {
  if (file !== undefined) {
    const files = [file, ...(other === undefined ? [] : [other])]
    return Promise.all(files.map((each) => readKeyEncryptionKey(each, randomBytes)))
  }
  if (other !== undefined) {
    throw new ConfigError('--other-key-encryption-key-file needs --key-encryption-key-file')
  }
  if (store?.kind !== 'etcd') return []
  throw new ConfigError(
    '--store etcd://… needs --key-encryption-key-file: the same file at every registry, so that each can sign for every organization (make it once with "nexodus-registry store make-key FILE")',
  )
}

function storeOf({ store, stateDirectory }: Config): StoreLocation {
  return store ?? { kind: 'level', directory: join(stateDirectory, 'store') }
}

interface Running {
  readonly rendezvous: Rendezvous
  readonly presence: Presence
  readonly metrics: Metrics | undefined
  readonly version: string
}

/** Undefined where nobody is to read them. */
async function openMetrics(
  { config, database, clock, log }: RegistryContext,
  { events }: Services,
  version: string,
  opened: AsyncDisposableStack,
): Promise<Metrics | undefined> {
  if (config.metricsListen === undefined) return undefined
  const metrics = createMetrics(clock, version)
  const left = () => leastLeft({ database, clock })
  metrics.gauge('issuer_seconds_left', 'Until the first issuer certificate ends', left)
  metrics.gauge('event_streams', 'Event streams that are open', () => events.count())
  opened.use(await startMetricsServer(config.metricsListen, metrics, { clock, log }))
  return metrics
}

function appOf(
  context: RegistryContext,
  services: Services,
  { rendezvous, presence, metrics, version }: Running,
) {
  const { identity, directories, ...rest } = services
  const { connected, belief } = rendezvous
  const registries = () => presence.urls()
  const networks = openNetworks({ ...context, ...rest, connected, belief, registries })
  const api = createApi({
    ...context,
    ...rest,
    version,
    callerOf: (request) => callerOf({ identity, tokens: services.tokens }, request),
    directory: directories.devices,
    rendezvous: () => rendezvous.meeting,
    ...{ registries, connected, networks },
  })
  return createApp(context, {
    api,
    ...(metrics !== undefined && { requests: metrics.requests }),
    ...(identity.provider !== undefined && { provider: identity.provider }),
    pages: pages(context, {
      ...{ identity, directories, logins: services.logins },
      people: { ...rest, connected, networks },
    }),
    errorPage: (problem) => renderProblem(problem),
  })
}

async function makeStateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? cause.code : String(cause)
    throw new ConfigError(
      `--state-dir ${path}: cannot be made (${why}): choose a directory that you may write`,
      { cause },
    )
  }
}
