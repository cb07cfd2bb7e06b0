/** Up: from an empty state directory, or from a reboot without a registry, to a running daemon. */
import { setImmediate as breath } from 'node:timers/promises'
import { randomBytes } from '../crypto/random.ts'
import { deviceIdOf } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { RelayRate } from '../protocol/relay-meter.ts'
import { attachRelays } from './attach-relays.ts'
import { writeCompiledCode } from './compile-cache.js'
import type { Daemon } from './daemon.ts'
import { VERSION } from './defaults.ts'
import { OperatorError } from './errors.ts'
import { firstPaths, firstRelays } from './first-paths.ts'
import type { Commands } from './host/run.ts'
import { deviceName, systemDescription } from './host/system.ts'
import {
  type HostSide,
  type HostSideOptions,
  requirePrivileges,
  startHostSide,
} from './host-side.ts'
import type { Joined } from './joining.ts'
import type { MeshOptions } from './mesh/mesh.ts'
import type { Relays } from './mesh/relays.ts'
import type { ExitAnswer } from './names/exit-resolver.ts'
import type { NamesSideOptions } from './names-side.ts'
import { followNeighbours, type Neighbourhood } from './organizations/neighbourhood.ts'
import type { Paths } from './path/paths.ts'
import type { PortMappings } from './path/port-mapping/port-mapping.ts'
import { type ProxySideOptions, startProxySide } from './proxy-side.ts'
import type { Applicant, Asks, Issued } from './registry-client.ts'
import { parseRegistryReference, type RegistryReference } from './registry-reference.ts'
import type { Renewal } from './renewal.ts'
import type { RouteSide } from './routes/route-side.ts'
import type { RouterOptionValues } from './routes/router-options.ts'
import { openStateDirectory, type StateDirectory } from './state-directory.ts'
import { systemClock as clock } from './system-clock.ts'

export interface UpOptions
  extends HostSideOptions,
    ProxySideOptions,
    NamesSideOptions,
    RouterOptionValues {
  /** `https://host#organization`; needed once, then remembered. */
  readonly registry?: string | undefined
  readonly registrationKey?: string | undefined
  readonly name: string
  /** What the device asks its organization's admins for. */
  readonly asks: Asks
  /** An address that it wants to have. */
  readonly requestedAddress?: string | undefined
  readonly socket: string
  readonly meshListen: readonly string[]
  readonly mdns: boolean
  /** Ask the gateway to let WireGuard's port in. */
  readonly portMapping: boolean
  /** Open, and spray at, many ports where a NAT makes a new mapping for each peer. */
  readonly spray: boolean
  readonly relayRate: RelayRate
  readonly neighbourhood: Neighbourhood
  /** What is logged is kept until this is called. */
  openLog(): Promise<void>
  /** Shows the code and the link of a device authorization, and what the page must show, too. */
  announce(code: string, link: string, fingerprint: string): void
  /** Says that an admin has yet to agree. */
  waiting(): void
}

/** Milliseconds between looks at what time alone changes. */
const TICK_MS = 5000

/** Runs until the signal; then everything made on the host is gone. Throws what the operator must know. */
export async function runUp(options: UpOptions, stop: AbortSignal): Promise<void> {
  requirePrivileges(options.backend)
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await openStateDirectory(options.stateDir))
  const applicant: Applicant = {
    deviceKey: directory.deviceKey,
    wireguardKey: directory.wireguardKey,
    name: deviceName(options.name),
    system: systemDescription(),
    asks: options.asks,
    requestedAddress: options.requestedAddress,
  }
  const wanted = registryWanted(options, directory)
  // A device that is enrolled makes its tunnel while the rest is loaded, and what it knows is read.
  const early = directory.join === undefined ? undefined : await startHostSide(options, stack)
  const { joined } = await import('./joining.ts')
  const joining = joined({ ...options, stop }, directory, applicant, wanted, stack)
  const found = await joining.catch((error: unknown) => {
    if (stop.aborted) return undefined
    throw error
  })
  if (found === undefined) return options.log('info', 'daemon.stopping')
  const parts = { directory, applicant, ...found }
  const host = early ?? (await startHostSide(options, stack))
  const routes = await start(options, parts, host, stack)
  options.log('info', 'daemon.started', {
    device: deviceIdOf(directory.deviceKey.publicKey),
    organization: parts.join.organization,
    version: VERSION,
  })
  writeCompiledCode()
  const fault = await Promise.race([host.tunnel.ended, aborted(stop)])
  if (fault !== undefined) throw fault
  options.log('info', 'daemon.stopping')
  await routes.leave()
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined))
  })
}

/** The registry that the operator names. Throws OperatorError where the directory is another organization's. */
function registryWanted(
  options: UpOptions,
  { path, join }: StateDirectory,
): RegistryReference | undefined {
  if (options.registry === undefined) return undefined
  const wanted = parseRegistryReference(options.registry)
  if (join === undefined || [undefined, join.organization].includes(wanted.organization)) {
    return wanted
  }
  throw new OperatorError(
    'ERR_ORGANIZATION',
    `${path} belongs to organization ${join.organization}, not ${wanted.organization} (use another --state-dir for another organization)`,
  )
}

interface Parts extends Joined {
  readonly directory: StateDirectory
  readonly applicant: Applicant
}

/** Checks and tunnel first: a hole is punched while the mesh is still being loaded. */
async function startDaemon(
  options: UpOptions,
  parts: Parts,
  {
    commands,
    checkPort,
    tunnel,
    firewall,
    portShare,
    sockets,
    redirected,
    sprayHost,
    stack: inside,
  }: HostSide,
  stack: AsyncDisposableStack,
): Promise<{ readonly daemon: Daemon; readonly paths: Paths; readonly relays: Relays }> {
  const { Daemon } = await import('./daemon.ts')
  const { startPaths } = await import('./path/paths.ts')
  const daemon = new Daemon({
    ...options,
    ...parts,
    ...{ tunnel, firewall },
    neighbours: options.neighbourhood.neighbours,
    inside,
    commands,
    system: `nexd ${VERSION}, ${parts.applicant.system}`.slice(0, 128),
    checkPort,
    clock,
    random: randomBytes,
  })
  stack.defer(() => daemon.end())
  // As in knowledge.ts: the tunnel is being started meanwhile.
  await breath()
  const share = await portShare
  const spray = options.spray ? (sprayHost ?? share) : undefined
  const portMappings = stack.use(await mapPorts(options, parts.directory, commands))
  const own = { portMappings, spray, redirected: redirected ?? share }
  const paths = stack.use(await startPaths({ ...daemon.pathsOptions(), ...own }, sockets))
  // The tunnel is configured while the first checks are answered.
  const begun = daemon.begin(paths)
  const [relays] = await Promise.all([attachRelays(daemon, paths, clock, stack), begun])
  followNeighbours(options.neighbourhood, daemon, stack)
  await firstPaths(daemon.plan.peers, paths, clock)
  return { daemon, paths, relays }
}

async function start(
  options: UpOptions,
  parts: Parts,
  host: HostSide,
  stack: AsyncDisposableStack,
): Promise<RouteSide> {
  const { log } = options
  const { daemon, paths, relays } = await startDaemon(options, parts, host, stack)
  await options.openLog()
  const { startMesh } = await (await import('./mesh/load.ts')).loadMesh()
  const meshOptions = { ...daemon.meshOptions(), ...lateAnswers(daemon), relays }
  daemon.useMesh(stack.use(await startMesh(meshOptions)))
  await firstRelays(daemon.plan.peers, paths, clock)
  const renewal = stack.use(await makeRenewal(parts, daemon, log))
  const networkChanged = (): void => {
    daemon.networkChanged()
    renewal.networkChanged()
  }
  await watchNetwork(options, host, networkChanged, stack)
  const { OwnApprovals } = await import('./own-approvals.ts')
  const publish = (bytes: Uint8Array) => daemon.publish(bytes)
  const lock = new OwnApprovals({ ...daemon.options, publish })
  const ticking = clock.every(TICK_MS, () => {
    renewal.tick()
    daemon.tick()
    lock.tick()
  })
  stack.defer(() => ticking.cancel())
  const { startControlServer } = await import('./control/server.ts')
  const { DaemonView } = await import('./view.ts')
  const { startNamesSide } = await import('./names-side.ts')
  const { startRouteSide } = await import('./routes/route-side.ts')
  const { controls: names, zones, applied } = await startNamesSide(options, daemon, stack)
  const proxy = await startProxySide(options, daemon, zones, stack)
  const routes = await startRouteSide(options, daemon, stack)
  routes.onApplied = applied
  applied()
  const organizations = await options.neighbourhood.start(daemon, options.socket, stack)
  const controls = { routes: routes.control, proxy, names, lock, organizations }
  const view = new DaemonView(daemon, renewal, controls)
  stack.use(await startControlServer(options.socket, view, log))
  void renewal.now()
  return routes
}

/** What others may ask, by code that is loaded when somebody does. */
function lateAnswers(daemon: Daemon): Pick<MeshOptions, 'evidence' | 'exitAnswer'> {
  let exitAnswer: ExitAnswer | undefined
  return {
    evidence: async (to) => (await import('./why/own-evidence.ts')).ownEvidence(daemon, to),
    exitAnswer: async (from, question) => {
      const { ownExitAnswer } = await import('./own-exit-answer.ts')
      exitAnswer ??= ownExitAnswer(daemon)
      return exitAnswer(from, question)
    },
  }
}

async function makeRenewal(
  { join, knowledge, applicant }: Parts,
  daemon: Daemon,
  log: Log,
): Promise<Renewal> {
  const { RegistryClient } = await import('./registry-client.ts')
  const { Renewal } = await import('./renewal.ts')
  const { Registries } = await import('./registries.ts')
  const clientOf = (url: string) => new RegistryClient(url, () => clock.now(), randomBytes)
  const registries = new Registries(join, clientOf)
  const issued = (each: Issued) => daemon.issued(each)
  return new Renewal(registries, knowledge, applicant, issued, { clock, log })
}

/** What happens to the host's network. */
async function watchNetwork(
  { interfaceName: tunnelInterface, log }: UpOptions,
  { commands, stack: inside }: HostSide,
  onChange: () => void,
  stack: AsyncDisposableStack,
): Promise<void> {
  if (inside !== undefined) {
    const { startAddressWatch } = await import('./host/address-watch.ts')
    const watch = startAddressWatch({ clock, onChange })
    stack.defer(() => watch.cancel())
    return
  }
  const { startLinkEvents } = await import('./host/link-events.ts')
  stack.use(startLinkEvents({ tunnelInterface, onChange, commands, clock, log }))
}

/** Undefined where the operator does not want them. */
async function mapPorts(
  { portMapping, listenPort, interfaceName: tunnelInterface, log }: UpOptions,
  { wireguardKey }: StateDirectory,
  commands: Commands,
): Promise<PortMappings | undefined> {
  if (!portMapping) return undefined
  const { startPortMappings } = await import('./path/port-mapping/port-mapping.ts')
  const own = { listenPort, tunnelInterface, wireguardKey }
  return startPortMappings({ ...own, commands, clock, random: randomBytes, log })
}
