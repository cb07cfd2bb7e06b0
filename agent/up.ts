/** Up: from an empty state directory, or from a reboot without a registry, to a running daemon. */
import { randomBytes } from '../crypto/random.ts'
import { memberOf } from '../protocol/belief.ts'
import { deviceIdOf, type OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { RelayRate } from '../protocol/relay-meter.ts'
import { writeCompiledCode } from './compile-cache.ts'
import { Daemon } from './daemon.ts'
import { VERSION } from './defaults.ts'
import { enrol, parseRegistryReference } from './enrolment.ts'
import { OperatorError } from './errors.ts'
import { startLinkEvents } from './host/link-events.ts'
import { startPortShare } from './host/port-share.ts'
import { commandsOf } from './host/run.ts'
import { deviceName, hasNetAdmin, systemDescription } from './host/system.ts'
import { isClockPlausible, type Knowledge, openKnowledge } from './knowledge.ts'
import { startPaths } from './path/paths.ts'
import { type Applicant, RegistryClient } from './registry-client.ts'
import { Renewal } from './renewal.ts'
import { type Join, openStateDirectory, type StateDirectory } from './state-directory.ts'
import { systemClock as clock } from './system-clock.ts'
import type { BackendKind, Tunnel } from './tunnel/backend.ts'
import { startTunnel } from './tunnel/detect.ts'
import { DaemonView } from './view.ts'

export interface UpOptions {
  /** `https://host#organization`; needed once, then remembered. */
  readonly registry?: string | undefined
  readonly registrationKey?: string | undefined
  readonly name: string
  readonly stateDir: string
  readonly socket: string
  readonly interfaceName: string
  readonly backend: 'auto' | BackendKind
  readonly listenPort: number
  readonly meshListen: readonly string[]
  readonly mdns: boolean
  readonly relayRate: RelayRate
  readonly log: Log
  /** Shows the code and the link of a device authorization, and what the page must show, too. */
  announce(code: string, link: string, fingerprint: string): void
}

/** Milliseconds between looks at what time alone changes. */
const TICK_MS = 5000

/** Runs until the signal; then everything made on the host is gone. Throws what the operator must know. */
export async function runUp(options: UpOptions, stop: AbortSignal): Promise<void> {
  requirePrivileges()
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await openStateDirectory(options.stateDir))
  const applicant: Applicant = {
    deviceKey: directory.deviceKey,
    wireguardKey: directory.wireguardKey,
    name: deviceName(options.name),
    system: systemDescription(),
  }
  const { join, knowledge } = await joined(options, directory, applicant, stack)
  const tunnel = await start(options, { directory, join, knowledge, applicant }, stack)
  options.log('info', 'daemon.started', {
    device: deviceIdOf(directory.deviceKey.publicKey),
    organization: join.organization,
    version: VERSION,
  })
  writeCompiledCode()
  const fault = await Promise.race([tunnel.ended, aborted(stop)])
  if (fault !== undefined) throw fault
  options.log('info', 'daemon.stopping')
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined))
  })
}

function requirePrivileges(): void {
  if (hasNetAdmin()) return
  throw new OperatorError(
    'ERR_USAGE',
    'nexd needs CAP_NET_ADMIN to make a tunnel (run it as root, or by its systemd unit)',
  )
}

interface Joined {
  readonly join: Join
  readonly knowledge: Knowledge
}

/** What the directory remembers, or a new enrolment. */
async function joined(
  options: UpOptions,
  directory: StateDirectory,
  applicant: Applicant,
  stack: AsyncDisposableStack,
): Promise<Joined> {
  const wanted =
    options.registry === undefined ? undefined : parseRegistryReference(options.registry)
  if (directory.join === undefined) return enrolled(options, directory, applicant, wanted, stack)
  const { join } = directory
  if (wanted?.organization !== undefined && wanted.organization !== join.organization) {
    throw new OperatorError(
      'ERR_ORGANIZATION',
      `${directory.path} belongs to organization ${join.organization}, not ${wanted.organization} (use another --state-dir for another organization)`,
    )
  }
  const knowledge = stack.use(await openKnowledge(join.organization, directory, clock, options.log))
  checkClock(knowledge)
  const moved =
    wanted === undefined || wanted.registry === join.registry
      ? join
      : { ...join, registry: wanted.registry }
  if (moved !== join) await directory.saveJoin(moved)
  if (
    memberOf(knowledge.state(), deviceIdOf(directory.deviceKey.publicKey), clock.now()) !==
    undefined
  ) {
    return { join: moved, knowledge }
  }
  return renewedOrEnrolled(options, directory, applicant, { join: moved, knowledge })
}

async function enrolled(
  options: UpOptions,
  directory: StateDirectory,
  applicant: Applicant,
  wanted: { registry: string; organization: OrganizationId | undefined } | undefined,
  stack: AsyncDisposableStack,
): Promise<Joined> {
  if (wanted === undefined) {
    throw new OperatorError(
      'ERR_USAGE',
      'this device is not enrolled: name its registry with --registry https://…',
    )
  }
  warnOfPlainHttp(wanted.registry, options.log)
  const client = new RegistryClient(wanted.registry, () => clock.now(), randomBytes)
  const { join, envelopes } = await enrol(client, applicant, {
    ...options,
    ...wanted,
    registrationKey: options.registrationKey,
    clock,
  })
  const knowledge = stack.use(await openKnowledge(join.organization, directory, clock, options.log))
  for (const envelope of envelopes) knowledge.learn(envelope)
  await knowledge.flush()
  await directory.saveJoin(join)
  options.log('info', 'device.enrolled', { name: join.name, organization: join.organization })
  return { join, knowledge }
}

/** Over plain http others on the way may read a registration key, and answer in the registry's place. */
function warnOfPlainHttp(registry: string, log: Log): void {
  const { protocol, hostname } = new URL(registry)
  if (protocol === 'https:' || /^(localhost|127\.|\[::1\])/.test(hostname)) return
  log('warn', 'registry.plain-http', { registry, hint: 'use https outside a laboratory' })
}

/** The certificate has ended or was revoked: renew, or where that is refused enrol again. */
async function renewedOrEnrolled(
  options: UpOptions,
  directory: StateDirectory,
  applicant: Applicant,
  { join, knowledge }: Joined,
): Promise<Joined> {
  const client = new RegistryClient(join.registry, () => clock.now(), randomBytes)
  const renewal = new Renewal(client, knowledge, applicant, () => {}, { clock, log: options.log })
  await renewal.now()
  renewal[Symbol.dispose]()
  const device = deviceIdOf(directory.deviceKey.publicKey)
  if (
    memberOf(knowledge.state(), device, clock.now()) !== undefined ||
    !renewal.status().reachable
  ) {
    return { join, knowledge }
  }
  options.log('warn', 'device.not-member', {
    reason: renewal.status().refusal,
    next: 'enrolling again',
  })
  const again = await enrol(client, applicant, {
    ...options,
    registry: join.registry,
    organization: join.organization,
    registrationKey: options.registrationKey,
    clock,
  })
  for (const envelope of again.envelopes) knowledge.learn(envelope)
  await directory.saveJoin(again.join)
  return { join: again.join, knowledge }
}

function checkClock(knowledge: Knowledge): void {
  const newest = knowledge.newestStatement()
  if (newest === 0 || isClockPlausible(newest, clock.now())) return
  const iso = (moment: number): string => new Date(moment * 1000).toISOString()
  throw new OperatorError(
    'ERR_CLOCK',
    `this device's clock says ${iso(clock.now())}, but the newest signed statement it holds is of ${iso(newest)} (set the clock; nothing was lost)`,
  )
}

interface Parts extends Joined {
  readonly directory: StateDirectory
  readonly applicant: Applicant
}

/** Tunnel and checks first: a hole is punched while the mesh is still being loaded. */
async function start(
  options: UpOptions,
  parts: Parts,
  stack: AsyncDisposableStack,
): Promise<Tunnel> {
  const { log, interfaceName, listenPort } = options
  const { join, knowledge, applicant } = parts
  const commands = commandsOf()
  const tunnel = stack.use(
    await startTunnel({ interfaceName, backend: options.backend, commands, clock, log }),
  )
  const checkPort = listenPort + 1
  stack.use(await startPortShare({ listenPort, checkPort, commands }))
  const daemon = new Daemon({
    ...options,
    ...parts,
    tunnel,
    system: `nexd ${VERSION}, ${applicant.system}`.slice(0, 128),
    checkPort,
    clock,
    random: randomBytes,
  })
  stack.defer(() => daemon.end())
  await daemon.begin(stack.use(await startPaths(daemon.pathsOptions())))
  await daemon.firstPaths()
  const { startMesh } = await (await import('./mesh/load.ts')).loadMesh()
  daemon.useMesh(stack.use(await startMesh(daemon.meshOptions())))
  const client = new RegistryClient(join.registry, () => clock.now(), randomBytes)
  const renewal = stack.use(
    new Renewal(client, knowledge, applicant, (issued) => daemon.issued(issued), { clock, log }),
  )
  stack.use(
    startLinkEvents({
      tunnelInterface: interfaceName,
      onChange: () => daemon.networkChanged(),
      commands,
      clock,
      log,
    }),
  )
  const ticking = clock.every(TICK_MS, () => daemon.tick())
  stack.defer(() => ticking.cancel())
  const { startControlServer } = await import('./control/server.ts')
  stack.use(await startControlServer(options.socket, new DaemonView(daemon, renewal), log))
  void renewal.now()
  return tunnel
}
