/** Host side: what the agent makes on its host, or in its own process where it may make nothing there. */
import { randomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import { OperatorError } from './errors.ts'
import type { Firewall } from './firewall/firewall.ts'
import { nftFirewall } from './firewall/nft-firewall.ts'
import { noCommands } from './host/no-commands.ts'
import { type PortShare, startPortShare } from './host/port-share.ts'
import type { RedirectedEndpoints } from './host/redirected-endpoints.ts'
import { type Commands, commandsOf } from './host/run.ts'
import { hasNetAdmin } from './host/system.ts'
import type { PathSockets } from './path/paths.ts'
import type { SprayHost } from './path/spray/found-paths.ts'
import type { Stack } from './stack/stack.ts'
import { systemClock as clock } from './system-clock.ts'
import type { BackendKind, Tunnel } from './tunnel/backend.ts'
import { comingTunnel } from './tunnel/coming-tunnel.ts'
import { chosenBackend, startTunnel } from './tunnel/detect.ts'
import { TunnelError } from './tunnel/errors.ts'

export interface HostSide {
  readonly commands: Commands
  /** Of the agent's own socket; WireGuard's where the two share one. */
  readonly checkPort: number
  readonly tunnel: Tunnel
  /** Ends after the tunnel. */
  readonly firewall: Firewall
  /** Resolves when checks leave by WireGuard's port; rejects with a CommandError. Undefined where nothing need be done
   *  for that. */
  readonly portShare: Promise<PortShare | undefined>
  /** The system's where they are missing. */
  readonly sockets?: PathSockets
  /** Where the tunnel itself redirects. */
  readonly redirected?: RedirectedEndpoints
  /** Where the tunnel itself leaves by other ports; the port share where it is missing. */
  readonly sprayHost?: SprayHost
  /** The inside of a tunnel that has no interface. */
  readonly stack?: Stack
}

export interface HostSideOptions {
  readonly interfaceName: string
  readonly backend: 'auto' | BackendKind
  readonly listenPort: number
  readonly log: Log
}

/** Begins to make it all; the stack ends it. */
export async function startHostSide(
  options: HostSideOptions,
  ending: AsyncDisposableStack,
): Promise<HostSide> {
  const backend = chosenBackend(options.backend)
  switch (backend) {
    case 'userspace':
      return startInside(options, ending)
    case 'tun':
      return startOverTun(options, ending)
    case 'auto':
      return startBest(options, ending)
    default:
      return startOutside(options, startTunnel({ ...options, backend, ...system() }), ending)
  }
}

/** Throws OperatorError where the backend needs a right that this process has not. */
export function requirePrivileges(backend: HostSideOptions['backend']): void {
  if (chosenBackend(backend) === 'userspace' || hasNetAdmin()) return
  throw new OperatorError(
    'ERR_USAGE',
    'nexd needs CAP_NET_ADMIN to make an interface (run it as root, by its systemd unit, or with --backend userspace, which needs none)',
  )
}

/** The kernel's WireGuard, else wireguard-go where it is installed, else this process's own. */
async function startBest(
  options: HostSideOptions,
  ending: AsyncDisposableStack,
): Promise<HostSide> {
  const { commands } = system()
  const hasWireguardGo = await isInstalled('wireguard-go', commands)
  const backend = hasWireguardGo ? 'auto' : 'kernel'
  const started = startTunnel({ ...options, backend, ...system() })
  try {
    if (!hasWireguardGo) await started
  } catch (error) {
    if (!(error instanceof TunnelError && error.code === 'ERR_TUNNEL_BACKEND_MISSING')) throw error
    return startOverTun(options, ending)
  }
  return startOutside(options, started, ending)
}

function isInstalled(command: string, commands: Commands): Promise<boolean> {
  return commands.require(command).then(
    () => true,
    () => false,
  )
}

function system(): { readonly commands: Commands; readonly clock: Clock } {
  return { commands: commandsOf(), clock }
}

function startOutside(
  { log, interfaceName, listenPort }: HostSideOptions,
  started: Promise<Tunnel>,
  ending: AsyncDisposableStack,
): HostSide {
  const commands = commandsOf()
  const checkPort = listenPort + 1
  const firewall = ending.use(nftFirewall({ interfaceName, commands, clock, log }))
  const tunnel = ending.use(comingTunnel(interfaceName, started))
  const portShare = startPortShare({ listenPort, checkPort, commands, clock, log })
  ending.defer(async () => {
    const share = await portShare.catch(() => undefined)
    await share?.[Symbol.asyncDispose]()
  })
  // Whoever awaits it hears of its failure; until then nobody does.
  portShare.catch(() => undefined)
  return { commands, checkPort, tunnel, firewall, portShare }
}

/** An interface and routes, and for all the rest one UDP port. */
async function startOverTun(
  { interfaceName, listenPort, log }: HostSideOptions,
  ending: AsyncDisposableStack,
): Promise<HostSide> {
  const { startTun } = await import('./tunnel/userspace/start-tun.ts')
  const { sharedSockets, sharedSprayHost } = await import('./path/shared-sockets.ts')
  const commands = commandsOf()
  const firewall = ending.use(nftFirewall({ interfaceName, commands, clock, log }))
  const { tunnel, thread } = await startTun({ interfaceName, commands, clock, log })
  ending.use(tunnel)
  return {
    commands,
    checkPort: listenPort,
    ...{ tunnel, firewall },
    portShare: Promise.resolve(undefined),
    sockets: sharedSockets(thread),
    sprayHost: sharedSprayHost(thread),
    redirected: thread,
  }
}

/** No interface, no route, no rule, no command of the host: one UDP port. */
async function startInside(
  { interfaceName, listenPort, log }: HostSideOptions,
  ending: AsyncDisposableStack,
): Promise<HostSide> {
  const { FlowFilter, filtered } = await import('./firewall/flow-filter.ts')
  const { newStackDevice } = await import('./stack/stack-device.ts')
  const { startUserspace } = await import('./tunnel/userspace/start.ts')
  const { sharedSockets, sharedSprayHost } = await import('./path/shared-sockets.ts')
  const { stack, device } = newStackDevice({ clock, random: randomBytes, log })
  ending.use(stack)
  const firewall = ending.use(new FlowFilter(clock))
  const { tunnel, engine } = startUserspace({
    interfaceName,
    device: filtered(device, firewall),
    clock,
    random: randomBytes,
    log,
  })
  ending.use(tunnel)
  return {
    commands: noCommands,
    checkPort: listenPort,
    ...{ tunnel, firewall },
    portShare: Promise.resolve(undefined),
    sockets: sharedSockets(engine),
    sprayHost: sharedSprayHost(engine),
    redirected: engine.redirections,
    stack,
  }
}
