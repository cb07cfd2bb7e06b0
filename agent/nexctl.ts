#!/usr/bin/env node
/** nexctl: asks and directs the nexd of this machine. */
import { Command, Option } from 'commander'
import { z } from 'zod'
import { addRegistryCommands } from './admin/commands.ts'
import { FORMS, printed } from './admin/output.ts'
import { columns } from './columns.ts'
import { ask } from './control/client.ts'
import { LIFETIME_STARTED, NETCHECK } from './control/netcheck-report.ts'
import { PEERS, type PeerReport, PING, STATUS, type StatusReport } from './control/reports.ts'
import { defaultSocket, VERSION } from './defaults.ts'
import { explain } from './errors.ts'
import { addLockCommands } from './nexctl-lock.ts'
import { addNamesCommand, namesStatusText } from './nexctl-names.ts'
import { lifetimeText, netcheckText } from './nexctl-netcheck.ts'
import { addLocalOrganizationCommands, socketOf } from './nexctl-organizations.ts'
import { addPolicyCommands } from './nexctl-policy.ts'
import { addProxyCommands } from './nexctl-proxy.ts'
import { addRouteCommands } from './nexctl-routes.ts'
import { LIFETIME_LIMITS } from './path/nat/lifetime.ts'
import { WHY } from './why/report.ts'
import { whyText } from './why/text.ts'

const GLOBAL = z.object({
  socket: z.string(),
  output: z.enum(FORMS),
  organization: z.string().optional(),
})

const program = new Command('nexctl')
  .description('Asks and directs the Nexodus agent (nexd) of this machine, and its registry.')
  .version(VERSION)
  .addOption(
    new Option('--socket <path>', "the agent's unix socket")
      .default(defaultSocket())
      .env('NEXODUS_SOCKET'),
  )
  .addOption(new Option('--output <form>', 'how to print').choices(FORMS).default('column'))
  .showHelpAfterError('(nexctl --help lists the commands)')
  .configureHelp({ showGlobalOptions: true })

/** Asks, then prints JSON as it came or `column` of it.
 *  @param failed is it an answer for which a script must stop? Then the exit status is 1 */
async function show<T>(
  shape: z.ZodType<T>,
  path: string,
  column: (answer: T) => string,
  body?: object,
  failed: (answer: T) => boolean = () => false,
): Promise<void> {
  const { socket, output, organization } = GLOBAL.parse(program.opts())
  // What the environment names is an organization of the registry's.
  const isMeant = program.getOptionValueSource('organization') === 'cli'
  const at = await socketOf(socket, isMeant ? organization : undefined)
  const answer = await ask(at, shape, path, body)
  process.stdout.write(`${printed(output, answer, () => column(answer))}\n`)
  if (failed(answer)) process.exitCode = 1
}

program
  .command('status')
  .description('is this device connected, as whom, and how well')
  .action(() => show(STATUS, '/v1/status', statusText))

program
  .command('netcheck')
  .description('the network around this device: addresses, NATs, what they allow, and servers')
  .option(
    '--lifetime [seconds]',
    'start to measure in the background how long an unused mapping lasts, waiting so long at most (300)',
  )
  .action(({ lifetime }: { lifetime?: string | true }) => {
    if (lifetime === undefined) return show(NETCHECK, '/v1/netcheck', netcheckText)
    const longest = lifetime === true ? LIFETIME_LIMITS.usual : Number(lifetime)
    return show(LIFETIME_STARTED, '/v1/netcheck/lifetime', lifetimeText, { longest })
  })

const peers = program.command('peers').description('the other devices of the organization')
peers
  .command('list')
  .description('every device: address, path, round-trip time, handshake, traffic')
  .action(() =>
    show(PEERS, '/v1/peers', (found) =>
      columns(
        [
          'NAME',
          'ADDRESS',
          'PATH',
          'ENDPOINT',
          'RTT',
          'MTU',
          'HANDSHAKE',
          'RECEIVED',
          'SENT',
          'MESH',
        ],
        found.map((peer) => [
          peer.name,
          peer.addresses[0] ?? '',
          peer.path,
          peer.endpoint ?? relayText(peer),
          peer.roundTripMs === undefined ? '-' : `${peer.roundTripMs.toFixed(1)} ms`,
          String(peer.mtu),
          peer.latestHandshake ?? 'never',
          String(peer.receivedBytes),
          String(peer.sentBytes),
          peer.meshConnected ? 'yes' : 'no',
        ]),
      ),
    ),
  )
peers
  .command('ping')
  .argument('<peer>', 'name, device id or address')
  .addOption(new Option('-c, --count <n>', 'packets to send').default(3).argParser(Number))
  .description('send ICMP echoes through the tunnel')
  .action((peer: string, { count }: { count: number }) =>
    show(
      PING,
      '/v1/peers/ping',
      (ping) =>
        `${ping.peer} ${ping.address} by ${ping.path}: ${ping.received} of ${ping.sent} answered` +
        (ping.medianMs === undefined ? '' : `, median ${ping.medianMs.toFixed(2)} ms`),
      { peer, count },
    ),
  )

program
  .command('why')
  .argument('<peer>', 'name, device id or address')
  .description('why a device is reached as it is, or is not: a verdict, and what both sides know')
  .action((peer: string) => show(WHY, '/v1/why', whyText, { peer }))

addNamesCommand(program, show)
addRouteCommands(program, show)
addProxyCommands(program, show)
addPolicyCommands(program, show)
addLockCommands(program, show)
addLocalOrganizationCommands(addRegistryCommands(program), program)

/** Of a relayed peer: `by hub (udp)`. */
function relayText({ relay }: PeerReport): string {
  return relay === undefined ? '-' : `by ${relay.name} (${relay.by})`
}

function statusText(status: StatusReport): string {
  const { organization, interface: tunnel, registry, mesh, peers: counted } = status
  return columns(
    [],
    [
      ['state', status.reason === undefined ? status.state : `${status.state}: ${status.reason}`],
      ['device', `${status.name} (${status.deviceId})`],
      ['organization', `${organization.name} (${organization.id})`],
      ['addresses', status.addresses.join(' ') || '-'],
      [
        'interface',
        `${tunnel.name} (${tunnel.backend}), port ${tunnel.listenPort}, MTU ${tunnel.mtu}`,
      ],
      [
        'certificate',
        status.certificate === undefined ? 'none' : `until ${status.certificate.notAfter}`,
      ],
      ['manifest', manifestText(status)],
      ['policy', policyText(status)],
      ['NAT mapping', status.natMapping],
      ['candidates', status.candidates.join(' ') || '-'],
      [
        'registry',
        `${registry.url} ${registry.connected ? 'connected' : registry.reachable ? 'reachable' : 'not reachable'}`,
      ],
      ['mesh', `${mesh.connections} connections as ${mesh.peerId}`],
      ['peers', reachedText(counted)],
      ...blockedRows(status),
      ['names', namesStatusText(status.names)],
    ],
  )
}

function reachedText({ connected, idle, total }: StatusReport['peers']): string {
  const reached = `${connected} of ${total} reached`
  return idle === 0 ? reached : `${reached}, ${idle} idle until a first packet`
}

/** Nobody would look for it: the relay carries. */
function blockedRows({ blocked }: StatusReport): readonly string[][] {
  return blocked.map(({ peer, endpoint, retrySeconds }, index) => [
    index === 0 ? 'WireGuard blocked' : '',
    `${peer} at ${endpoint}: checks pass, WireGuard does not; by the relay, direct tried again in ${retrySeconds} s (nexctl why ${peer})`,
  ])
}

/** What keeps the tunnel closed is to be seen. */
function policyText({ policy: { revision, state, reason } }: StatusReport): string {
  const said = revision === 0 ? 'everything inside the organization passes' : `revision ${revision}`
  if (state === 'enforced' || (revision === 0 && state === 'unknown' && reason === undefined))
    return said
  const closed = state === 'unknown' ? '' : 'NOTHING PASSES, '
  return `${said}, ${closed}${state}${reason === undefined ? '' : `: ${reason}`}`
}

function manifestText({ manifest }: StatusReport): string {
  if (manifest === undefined) return 'none'
  const warning =
    ' COMPROMISED ISSUER: two manifests share this sequence; tell the owner of the organization'
  return `sequence ${manifest.sequence}${manifest.compromised ? warning : ''}`
}

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`nexctl: ${explain(error)}\n`)
  process.exitCode = 1
})
