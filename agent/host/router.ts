/** Router: makes this host forward for others what it advertises: switches, rules and source addresses. A table of its
 *  own, `inet nexodus-router-<listenPort>`, replaced in one act; gone at the end, and after a crash at the next start. */
import { z } from 'zod'
import { addressFamily, type Prefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { type ForwardBlock, forwardBlockHint, readForwardBlocks } from './forward-blocks.ts'
import { readForwardingUsers } from './forwarding-users.ts'
import { removalText } from './nft-tables.ts'
import { ownerIn, ownerMark } from './owner.ts'
import { prefixComment, type RouterRules, routerTable } from './router-rules.ts'
import type { Commands } from './run.ts'
import { openSysctls, type Sysctls } from './sysctls.ts'

export interface RouterOptions {
  readonly tunnelInterface: string
  /** WireGuard's: names the table. */
  readonly listenPort: number
  /** Where it is remembered what switches were. */
  readonly sysctlFile: string
  readonly commands: Commands
  readonly clock: Pick<Clock, 'every'>
  readonly log: Log
}

export type RouterConfig = Omit<RouterRules, 'tunnelInterface'>

export interface Router extends AsyncDisposable {
  /** Makes it so; without prefixes nothing of ours is on the host. Repeated, it changes nothing. Throws CommandError. */
  configure(wanted: RouterConfig): Promise<void>
  /** Whose rules may drop what is forwarded, as last looked at. */
  blocks(): readonly ForwardBlock[]
  /** Packets that went towards the prefix since its rules were made. */
  packetsTo(prefix: Prefix): Promise<number>
}

/** Milliseconds between looks at whether the table is still there, and at who blocks. */
const LOOK_MS = 30_000
const TABLE = /^table inet (nexodus-router-\d+)$/gm

/** Removes what a crash left. Throws CommandError: nft is missing, or not permitted. */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const { commands, clock, listenPort, log } = options
  const table = tableOf(listenPort)
  await removeLeftovers(commands, table)
  const users = (): Promise<readonly string[]> => readForwardingUsers(commands, table)
  const shell = new RouterShell(
    options,
    await openSysctls({ commands, file: options.sysctlFile, users, log }),
  )
  const watch = clock.every(LOOK_MS, () => void shell.look())
  return {
    configure: (wanted) => shell.configure(wanted),
    blocks: () => shell.blocks,
    packetsTo: (prefix) => shell.packetsTo(prefix),
    [Symbol.asyncDispose]: async () => {
      watch.cancel()
      await shell.configure({ prefixes: [], localPrefixes: [], nat: true })
    },
  }
}

class RouterShell {
  readonly #options: RouterOptions
  readonly #sysctls: Sysctls
  readonly #table: string
  readonly #said = new Set<string>()
  /** The text that is installed; empty: nothing is. */
  #installed = ''
  /** The text that the host's switches are set for. */
  #switchedFor = ''
  #working: Promise<void> = Promise.resolve()
  blocks: readonly ForwardBlock[] = []

  constructor(options: RouterOptions, sysctls: Sysctls) {
    this.#options = options
    this.#sysctls = sysctls
    this.#table = tableOf(options.listenPort)
  }

  configure(wanted: RouterConfig): Promise<void> {
    return this.#queue(() => this.#configure(wanted))
  }

  /** A firewall that is loaded anew begins by `flush ruleset`. */
  look(): Promise<void> {
    return this.#queue(async () => {
      if (this.#installed === '') return
      try {
        const tables = await this.#options.commands.run('nft', ['list', 'tables', 'inet'])
        if (!tables.split('\n').includes(`table inet ${this.#table}`)) {
          await this.#load(this.#installed)
          this.#options.log('warn', 'router.restored', { table: this.#table })
        }
        await this.#readBlocks()
      } catch (error) {
        this.#options.log('warn', 'router.unknown', { reason: explain(error) })
      }
    })
  }

  async packetsTo(prefix: Prefix): Promise<number> {
    const text = await this.#options.commands.run('nft', [
      ...['-j', 'list', 'chain', 'inet', this.#table, 'inward'],
    ])
    const { nftables } = COUNTED.parse(JSON.parse(text))
    const rule = nftables.find(({ rule: each }) => each?.comment === prefixComment(prefix))?.rule
    return rule?.expr.find(({ counter }) => counter !== undefined)?.counter?.packets ?? 0
  }

  async #configure(wanted: RouterConfig): Promise<void> {
    if (wanted.prefixes.length === 0) {
      if (this.#installed === '') return
      await this.#load(removalText(this.#table))
      this.#installed = ''
      this.#switchedFor = ''
      this.blocks = []
      return this.#sysctls.restore()
    }
    const rules = { ...wanted, tunnelInterface: this.#options.tunnelInterface }
    const text = routerTable(this.#table, rules, ownerMark())
    // Rules before forwarding: not for a moment does the host forward more than it should.
    if (text !== this.#installed) await this.#load(text)
    this.#installed = text
    if (text === this.#switchedFor) return
    await this.#sysctls.set(await forwarding(wanted.prefixes, this.#options.commands))
    this.#switchedFor = text
    await this.#readBlocks()
  }

  async #readBlocks(): Promise<void> {
    const { commands, tunnelInterface, log } = this.#options
    this.blocks = await readForwardBlocks(commands, tunnelInterface)
    for (const block of this.blocks) {
      if (this.#said.has(block.chain)) continue
      this.#said.add(block.chain)
      const hint = forwardBlockHint(block, tunnelInterface)
      log('warn', 'router.blocked', { chain: block.chain, by: block.by, hint })
    }
  }

  async #load(input: string): Promise<void> {
    await this.#options.commands.run('nft', ['-f', '-'], { input })
  }

  #queue(task: () => Promise<void>): Promise<void> {
    const done = this.#working.then(task)
    this.#working = done.catch(() => undefined)
    return done
  }
}

const COUNTED = z.object({
  nftables: z.array(
    z.object({
      rule: z
        .object({
          comment: z.string().optional(),
          expr: z.array(
            z.looseObject({ counter: z.looseObject({ packets: z.number() }).optional() }),
          ),
        })
        .optional(),
    }),
  ),
})

const INTERFACES = z.array(z.looseObject({ dev: z.string().optional() }))

/** A host that forwards IPv6 no longer takes its own default route from router advertisements, unless it is told to
 *  (Linux, ip-sysctl.rst: accept_ra). */
async function forwarding(
  prefixes: readonly Prefix[],
  commands: Commands,
): Promise<ReadonlyMap<string, string>> {
  const families = new Set(prefixes.map(addressFamily))
  const switches = new Map<string, string>()
  if (families.has(4)) switches.set('net/ipv4/ip_forward', '1')
  if (!families.has(6)) return switches
  const text = await commands.run('ip', ['-json', '-6', 'route', 'show', 'proto', 'ra'])
  for (const { dev } of INTERFACES.parse(JSON.parse(text.trim() || '[]')))
    if (dev !== undefined) switches.set(`net/ipv6/conf/${dev}/accept_ra`, '2')
  return switches.set('net/ipv6/conf/all/forwarding', '1')
}

/** Of agents that died; also `own` where a container that is no more left it. */
async function removeLeftovers(commands: Commands, own: string): Promise<void> {
  const tables = await commands.run('nft', ['list', 'tables', 'inet'])
  for (const [, table = ''] of tables.matchAll(TABLE)) {
    const owner = ownerIn(await commands.run('nft', ['list', 'table', 'inet', table]))
    if (owner === 'gone' || (owner === 'elsewhere' && table === own))
      await commands.run('nft', ['-f', '-'], { input: removalText(table) })
  }
}

function tableOf(listenPort: number): string {
  return `nexodus-router-${listenPort}`
}
