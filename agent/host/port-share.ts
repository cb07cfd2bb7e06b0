/** Port share: connectivity checks leave and arrive by WireGuard's own UDP port, though the agent's socket
 *  is bound to another (SPEC §7.5). Two nftables rules rewrite the ports: outgoing before conntrack and
 *  incoming after it, so that checks and WireGuard share one conntrack entry and one NAT mapping. A third
 *  one lets routers cut WireGuard's packets in two, and what is diverted to other ports (diverted-ports.ts) is
 *  so on the same sides of conntrack; what is sent to another endpoint (redirected-endpoints.ts) is so before all. */

import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain, OperatorError } from '../errors.ts'
import {
  DIVERSION_SETS,
  type DivertedPorts,
  divertedPorts,
  divertingIn,
  divertingOut,
} from './diverted-ports.ts'
import { removalText } from './nft-tables.ts'
import { ownerIn, ownerMark, ownerPid } from './owner.ts'
import {
  REDIRECTING_CHAIN,
  type RedirectedEndpoints,
  redirectedEndpoints,
} from './redirected-endpoints.ts'
import type { Commands } from './run.ts'

export interface PortShareOptions {
  /** The port WireGuard listens on. */
  readonly listenPort: number
  /** The port the agent's socket is bound to. */
  readonly checkPort: number
  readonly commands: Commands
  readonly clock: Pick<Clock, 'every' | 'after' | 'monotonicMs'>
  readonly log: Log
}

/** Milliseconds between looks at whether the table is still there. */
const LOOK_MS = 60_000

export interface PortShare extends DivertedPorts, RedirectedEndpoints, AsyncDisposable {}

const TABLE = /^table inet (nexodus-port-(\d+))$/gm

/** Installs table `inet nexodus-port-<listenPort>` in one transaction, in place of what a crash left, and
 *  removes what agents that died left for other ports. Disposing removes it.
 *  Throws CommandError: nft is missing, or not permitted; OperatorError: another agent that runs has the port. */
export async function startPortShare(options: PortShareOptions): Promise<PortShare> {
  const { commands, listenPort } = options
  const input = `${portShareRules(options)}list tables inet\n`
  const install = (): Promise<string> => commands.run('nft', ['-f', '-'], { input })
  const tables = await install().catch(async (error: unknown) => {
    await clearTable(commands, listenPort, error)
    return install()
  })
  const ports = divertedPorts(tableOf(listenPort), commands)
  const endpoints = redirectedEndpoints(tableOf(listenPort), listenPort, commands, options.clock)
  let looking: Promise<void> = Promise.resolve()
  const watch = options.clock.every(LOOK_MS, () => {
    looking = restoreLost(options, install, ports)
  })
  const remove = async (): Promise<void> => {
    watch.cancel()
    endpoints[Symbol.dispose]()
    await looking
    await commands.run('nft', ['-f', '-'], { input: removalText(tableOf(listenPort)) })
  }
  try {
    await removeLeftovers(commands, tables, listenPort)
  } catch (error) {
    await remove()
    throw error
  }
  return { ...ports, redirect: endpoints.redirect, [Symbol.asyncDispose]: remove }
}

/** A firewall that is loaded anew begins by `flush ruleset`, and our table goes with its own. */
async function restoreLost(
  { commands, listenPort, log }: PortShareOptions,
  install: () => Promise<string>,
  ports: DivertedPorts,
): Promise<void> {
  const table = tableOf(listenPort)
  try {
    const tables = await commands.run('nft', ['list', 'tables', 'inet'])
    if (tables.split('\n').includes(`table inet ${table}`)) return
    await install()
    await ports.again()
    log('warn', 'port-share.restored', {
      table,
      hint: 'somebody removed it, as a firewall does that begins by "flush ruleset"',
    })
  } catch (error) {
    log('warn', 'port-share.unknown', { table, reason: explain(error) })
  }
}

function tableOf(listenPort: number): string {
  return `nexodus-port-${listenPort}`
}

/** The whole transaction. STUN is told from WireGuard by its first 14 bits, the binding method (RFC 8489
 *  §5: 0x0001, 0x0101, 0x0111), and the magic cookie; WireGuard's first two bytes, 01 to 04 and 00, never
 *  match the first. @th counts from the UDP header, whose 8 bytes come before the payload.
 *  The system sets DF on wireguard-go's packets, as on those of every socket, and the kernel's WireGuard sets
 *  none: so it goes, for a packet in pieces is better than one that is lost until the path's MTU is known.
 *  Checks keep it: they find that MTU. */
function portShareRules({ listenPort, checkPort }: PortShareOptions): string {
  const table = tableOf(listenPort)
  return `create table inet ${table}
table inet ${table} {
${DIVERSION_SETS}${REDIRECTING_CHAIN}  chain out {
    type filter hook output priority raw; policy accept;
    oifname != "lo" udp sport ${listenPort} ip frag-off set 0
    oifname != "lo" udp sport ${checkPort} udp sport set ${listenPort} comment "${ownerMark()}"
    ${divertingOut(listenPort)}
  }
  chain in {
    type filter hook prerouting priority mangle; policy accept;
    ${divertingIn(listenPort)}
    iifname != "lo" udp dport ${listenPort} @th,64,16 & 0xfeef == 0x0001 @th,96,32 0x2112a442 udp dport set ${checkPort}
  }
}
`
}

/** Removes what a crash left for the port. Throws `cause` where nothing was left, and OperatorError where an agent that
 *  runs has it: its checks would go astray. */
async function clearTable(commands: Commands, listenPort: number, cause: unknown): Promise<void> {
  const table = tableOf(listenPort)
  const rules = await commands.run('nft', ['list', 'table', 'inet', table]).catch(() => {
    throw cause
  })
  if (ownerIn(rules) === 'running') {
    throw new OperatorError(
      'ERR_USAGE',
      `UDP port ${listenPort} belongs to another nexd, process ${ownerPid(rules)} (stop that, or choose another port with --listen-port)`,
    )
  }
  await commands.run('nft', ['-f', '-'], { input: removalText(table) })
}

/** @param tables what `list tables` says */
async function removeLeftovers(
  commands: Commands,
  tables: string,
  listenPort: number,
): Promise<void> {
  for (const [, table = '', port] of tables.matchAll(TABLE)) {
    if (Number(port) === listenPort) continue
    const rules = await commands.run('nft', ['list', 'table', 'inet', table])
    if (ownerIn(rules) === 'gone') {
      await commands.run('nft', ['-f', '-'], { input: removalText(table) })
    }
  }
}
