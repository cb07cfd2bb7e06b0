/** nexctl's commands about routes, the router and exits. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { columns } from './columns.ts'
import { CHANGED } from './control/reports.ts'
import {
  EXIT_NODES,
  type ExitNodesReport,
  ROUTER,
  ROUTES,
  type RouteReport,
  type RouterReport,
} from './control/route-report.ts'
import type { Show } from './nexctl-proxy.ts'

interface AdvertiseOptions {
  readonly standby?: true
  readonly priority: number
  readonly metric?: number
  readonly probe?: string
  readonly handOver?: true
}

export function addRouteCommands(program: Command, show: Show): void {
  const route = program.command('route').description('prefixes that devices hold')
  route
    .command('list')
    .option('--verbose', 'a line for each device that could carry it, and what is measured')
    .description('every prefix: who carries it, since when, who else could, and why')
    .action(({ verbose }: { verbose?: true }) =>
      show(ROUTES, '/v1/routes', verbose === true ? claimsText : routesText),
    )
  addAdvertise(route, show)
  route
    .command('withdraw')
    .argument('<prefix>')
    .description('give a prefix up')
    .action((prefix: string) => change(show, prefix, 'withdrawn', { action: 'withdraw' }))
  route
    .command('move')
    .argument('<prefix>', 'an address that this device holds')
    .requiredOption('--to <device>', 'a device that stands by for it')
    .description('hand an address over to another device, which is ready before the others follow')
    .action((prefix: string, { to }: { to: string }) =>
      change(show, prefix, `handed over to ${to}`, { action: 'move', to }),
    )
  addRouterCommands(program, show)
  addExitCommands(program, show)
}

function addAdvertise(route: Command, show: Show): void {
  route
    .command('advertise')
    .argument('<prefix>', 'for example 10.99.0.1/32')
    .option('--standby', 'take it over only where its holder is not reached')
    .addOption(
      new Option('--priority <n>', 'of several standbys the highest goes first')
        .default(100)
        .argParser(whole(1, 254)),
    )
    .addOption(
      new Option('--metric <n>', 'of several routers the lowest goes first').argParser(
        whole(0, 65_536),
      ),
    )
    .option('--probe <target>', 'icmp:address, tcp:address:port or http://address:port/path in it')
    .option(
      '--hand-over',
      'move it here as a hand-over: this device is ready before the others follow',
    )
    .description('claim a prefix for this device (an address moves here)')
    .action((prefix: string, { standby, priority, metric, probe, handOver }: AdvertiseOptions) =>
      standby === true
        ? change(show, prefix, 'stood by for', { action: 'stand-by', priority })
        : change(show, prefix, 'advertised', {
            ...{ action: 'advertise' },
            ...(metric === undefined ? {} : { metric }),
            ...(probe === undefined ? {} : { probe }),
            ...(handOver === undefined ? {} : { handOver }),
          }),
    )
}

function addRouterCommands(program: Command, show: Show): void {
  const router = program.command('router').description('what this device routes for others')
  router
    .command('status')
    .description('its prefixes, and whose firewall rules may be in the way')
    .action(() => show(ROUTER, '/v1/router', routerText))
  router
    .command('drain')
    .addOption(
      new Option('--within <seconds>', 'how long to wait').default(10).argParser(whole(1, 60)),
    )
    .description('have others use other routers, and wait until nothing passes here any more')
    .action(({ within }: { within: number }) =>
      show(ROUTER, '/v1/router', routerText, { action: 'drain', within }),
    )
  router
    .command('resume')
    .description('be used again after a drain')
    .action(() => show(ROUTER, '/v1/router', routerText, { action: 'resume' }))
}

function addExitCommands(program: Command, show: Show): void {
  const exit = program
    .command('exit-node')
    .description('devices by which all packets of this host may leave')
  exit
    .command('list')
    .description('exits, and the one in use')
    .action(() => show(EXIT_NODES, '/v1/exit-nodes', exitsText))
  const use = (command: Command, pick: (argument: string) => string): Command =>
    command
      .option('--allow-local', 'reach the networks this host is attached to as before')
      .option('--no-allow-local', 'send packets for local networks to the exit, too')
      .action((first: unknown) => {
        const { allowLocal } = command.opts<{ allowLocal?: boolean }>()
        return show(EXIT_NODES, '/v1/exit-nodes', exitsText, {
          use: pick(typeof first === 'string' ? first : ''),
          ...(allowLocal === undefined ? {} : { allowLocal }),
        })
      })
  use(
    exit
      .command('use')
      .argument('<device>', 'name or id')
      .description('leave by this exit, from now on and after every start'),
    (device) => device,
  )
  use(
    exit
      .command('auto')
      .description('leave by the nearest exit that works, and by another when it fails'),
    () => 'auto',
  )
  exit
    .command('off')
    .description('leave as if there were no exit')
    .action(() => show(EXIT_NODES, '/v1/exit-nodes', exitsText, { use: 'off' }))
}

function change(show: Show, prefix: string, done: string, body: object): Promise<void> {
  return show(
    CHANGED,
    '/v1/routes',
    ({ changed }) => (changed ? `${prefix} ${done}` : 'nothing to change'),
    { prefix, ...body },
  )
}

function routesText(found: readonly RouteReport[]): string {
  return columns(
    ['PREFIX', 'HOLDER', 'SINCE', 'OTHERS', 'WHY'],
    found.map(({ prefix, holder, since, others, why }) => [
      ...[prefix, holder || 'nobody', since, others.join(' ') || '-', why],
    ]),
  )
}

function claimsText(found: readonly RouteReport[]): string {
  return columns(
    ['PREFIX', 'DEVICE', 'USED', 'STATE', 'METRIC', 'EPOCH', 'PRIORITY', 'HEALTH', 'RTT', 'TARGET'],
    found.flatMap(({ prefix, deviceId, claims }) =>
      claims.map((claim) => [
        prefix,
        claim.name,
        claim.deviceId === deviceId ? 'yes' : 'no',
        claim.state,
        String(claim.metric),
        String(claim.epoch),
        String(claim.priority ?? '-'),
        claim.health,
        timeText(claim.roundTripMs),
        claim.target ?? '-',
      ]),
    ),
  )
}

export function routerText({ prefixes, forwards, nat, blocks, isQuiet }: RouterReport): string {
  const how = forwards
    ? `forwards, ${nat ? 'with its own address as source (NAT)' : 'sources as they are (no NAT)'}`
    : 'does not forward (start nexd with --network-router)'
  return columns(
    [],
    [
      ['router', how],
      ...prefixes.map(({ prefix, state, why }) => [
        ...['prefix', `${prefix} ${state}${why === undefined ? '' : `: ${why}`}`],
      ]),
      ...blocks.map(({ chain, by, hint }) => ['blocked by', `${chain} (${by}): ${hint}`]),
      ...(isQuiet === undefined
        ? []
        : [['drained', isQuiet ? 'nothing passes any more' : 'others still send; it goes on']]),
    ],
  )
}

function exitsText({ preference, inUse, allowLocal, state, why, exits }: ExitNodesReport): string {
  const status = columns(
    [],
    [
      ['exit', `${state}${inUse === '' ? '' : `: ${inUse}`} (${why})`],
      ['wanted', preference],
      ['local networks', allowLocal ? 'reached as before' : 'not reached while an exit is in use'],
    ],
  )
  const list = columns(
    ['EXIT', 'CARRIES', 'HEALTH', 'STATE', 'RTT'],
    exits.map((exit) => [
      ...[exit.name, exit.families.join(' '), exit.health, exit.state, timeText(exit.roundTripMs)],
    ]),
  )
  return exits.length === 0 ? `${status}\nnobody offers an exit` : `${status}\n${list}`
}

function timeText(ms: number | undefined): string {
  return ms === undefined ? '-' : `${ms.toFixed(1)} ms`
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most)
      return value
    throw new InvalidArgumentError(`want ${least} to ${most}`)
  }
}
