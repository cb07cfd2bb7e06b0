/** Name redirect: while an exit is in use, questions for names that this host's programs send to its own name servers,
 *  or to any of a private network, come to our resolver, which asks the exit. Those servers would be asked beside the
 *  exit, or not be reached by it at all. What can't be redirected is refused. In a table of ours (nftables), which goes as
 *  a whole. */
import {
  addressFamily,
  type Endpoint,
  type IpAddress,
  type Prefix,
} from '../../protocol/address.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { isTable, removalText, removeTablesOfTheDead, tableOfInterface } from './nft-tables.ts'
import { ownerMark } from './owner.ts'
import { type RulesetWatchOptions, startRulesetWatch } from './ruleset-watch.ts'
import type { Commands } from './run.ts'

export interface RedirectedNames {
  /** Of our resolver, by family; none: questions of that family are refused. */
  readonly servers: readonly Endpoint[]
  /** This host's name servers. */
  readonly hostServers: readonly IpAddress[]
  /** Reached by routes of their own: resolvers there are asked as ever. */
  readonly beside: readonly Prefix[]
}

export interface NameRedirect extends AsyncDisposable {
  /** Undefined takes all back. What somebody else removes meanwhile is put back. Repeated, it changes nothing. Throws
   *  CommandError. */
  configure(wanted: RedirectedNames | undefined): Promise<void>
}

export interface NameRedirectOptions {
  readonly interfaceName: string
  readonly commands: Pick<Commands, 'run' | 'start'>
  readonly clock: RulesetWatchOptions['clock']
  readonly log: Log
}

const PREFIX = 'nexodus-names-'
/** RFC 1918, 6598, 3927, 4193 and 4291 §2.5.6: no exit leads to them. */
const PRIVATE = [
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  ...['fc00::/7', 'fe80::/10'],
]
const FAMILIES = [
  { family: 4, word: 'ip', type: 'ipv4_addr' },
  { family: 6, word: 'ip6', type: 'ipv6_addr' },
] as const

/** Removes what a crash left, of this agent and of others that are no more. Never rejects. */
export async function startNameRedirect(options: NameRedirectOptions): Promise<NameRedirect> {
  const { commands, log } = options
  const table = tableOfInterface(PREFIX, options.interfaceName)
  const redirect = new TableRedirect(table, options)
  try {
    await commands.run('nft', ['-f', '-'], { input: removalText(table) })
    await removeTablesOfTheDead(commands, PREFIX, table, 'redirected')
  } catch (error) {
    redirect.isUnknown()
    log('warn', 'names.leftovers-unknown', { reason: explain(error) })
  }
  return redirect
}

class TableRedirect implements NameRedirect {
  readonly #table: string
  readonly #options: NameRedirectOptions
  /** The table's text; undefined: there is none. Null: not known. */
  #made: string | undefined | null
  /** While there is a table. */
  #watch: AsyncDisposable | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(table: string, options: NameRedirectOptions) {
    this.#table = table
    this.#options = options
  }

  isUnknown(): void {
    this.#made = null
  }

  configure(wanted: RedirectedNames | undefined): Promise<void> {
    const text = wanted === undefined ? undefined : tableText(this.#table, wanted)
    return this.#inTurn(() => (text === this.#made ? this.#restore() : this.#make(text)))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.configure(undefined)
  }

  async #make(text: string | undefined): Promise<void> {
    const { commands, clock, log } = this.#options
    const table = this.#table
    this.#made = null
    await commands.run('nft', ['-f', '-'], { input: `${removalText(table)}${text ?? ''}` })
    this.#made = text
    if (text === undefined) {
      await this.#watch?.[Symbol.asyncDispose]()
      this.#watch = undefined
      return
    }
    const onTouched = (): void => this.#touched()
    this.#watch ??= startRulesetWatch({ table, onTouched, commands, clock, log })
  }

  #touched(): void {
    void this.#inTurn(() => this.#restore()).catch((error: unknown) => {
      this.#options.log('warn', 'names.redirect-unknown', { reason: explain(error) })
    })
  }

  /** A firewall that is loaded anew begins by `flush ruleset`. */
  async #restore(): Promise<void> {
    const { commands, log } = this.#options
    const text = this.#made
    if (typeof text !== 'string' || (await isTable(commands, this.#table))) return
    await this.#make(text)
    log('warn', 'names.restored', {
      table: this.#table,
      hint: 'somebody removed it, as a firewall does that begins by "flush ruleset"',
    })
  }

  #inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.#working.then(task)
    this.#working = done.catch(() => undefined)
    return done
  }
}

/** Ahead of what others do to packets that this host sends; flows that were there before are refused. */
function tableText(table: string, { servers, hostServers, beside }: RedirectedNames): string {
  const sets = FAMILIES.map(({ family, type }) => {
    const isOf = (each: string): boolean => each.includes(':') === (family === 6)
    return `${setText(`beside${family}`, type, beside.filter(isOf))}${setText(`servers${family}`, type, [...PRIVATE, ...hostServers].filter(isOf))}`
  })
  const question = (family: 4 | 6, word: string): string =>
    `${word} daddr != @beside${family} ${word} daddr @servers${family} meta l4proto { tcp, udp } th dport 53`
  const redirecting = FAMILIES.flatMap(({ family, word }) => {
    const server = servers.find(({ address }) => addressFamily(address) === family)
    if (server === undefined) return []
    const to = family === 4 ? server.address : `[${server.address}]`
    return [`    ${question(family, word)} dnat ${word} to ${to}:${server.port}\n`]
  })
  const refusing = FAMILIES.map(({ family, word }) => `    ${question(family, word)} reject\n`)
  return `table inet ${table} {
${sets.join('')}  chain redirected {
    type nat hook output priority -110; policy accept;
    oifname "lo" accept comment "${ownerMark()}"
${redirecting.join('')}  }
  chain refused {
    type filter hook output priority filter; policy accept;
    oifname "lo" accept
${refusing.join('')}  }
}
`
}

function setText(name: string, type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? '' : `    elements = { ${elements.join(', ')} }\n`
  return `  set ${name} {\n    type ${type}; flags interval; auto-merge;\n${list}  }\n`
}
