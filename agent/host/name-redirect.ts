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
import { removalText, removeTablesOfTheDead, tableOfInterface } from './nft-tables.ts'
import { ownerMark } from './owner.ts'
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
  /** Undefined takes all back. Repeated, it changes nothing. Throws CommandError. */
  configure(wanted: RedirectedNames | undefined): Promise<void>
}

export interface NameRedirectOptions {
  readonly interfaceName: string
  readonly commands: Pick<Commands, 'run'>
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
export async function startNameRedirect({
  interfaceName,
  commands,
  log,
}: NameRedirectOptions): Promise<NameRedirect> {
  const table = tableOfInterface(PREFIX, interfaceName)
  const put = (input: string): Promise<unknown> => commands.run('nft', ['-f', '-'], { input })
  /** Null: not known. */
  let made: string | undefined | null
  try {
    await put(removalText(table))
    await removeTablesOfTheDead(commands, PREFIX, table, 'redirected')
  } catch (error) {
    made = null
    log('warn', 'names.leftovers-unknown', { reason: explain(error) })
  }
  let working: Promise<void> = Promise.resolve()
  const queued = (wanted: RedirectedNames | undefined): Promise<void> => {
    const text = wanted === undefined ? undefined : tableText(table, wanted)
    const done = working.then(async () => {
      if (text === made) return
      made = null
      await put(`${removalText(table)}${text ?? ''}`)
      made = text
    })
    working = done.catch(() => undefined)
    return done
  }
  return { configure: queued, [Symbol.asyncDispose]: () => queued(undefined) }
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
