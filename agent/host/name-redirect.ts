/** Name redirect: while an exit is in use, questions for names that this host's programs send to its own name servers,
 *  or to any of a private network, come to our resolver, which asks the exit. Those servers would be asked beside the
 *  exit, or not be reached by it at all. In a table of ours (nftables), which goes as a whole. */
import {
  addressFamily,
  type Endpoint,
  type IpAddress,
  type Prefix,
} from '../../protocol/address.ts'
import type { Commands } from './run.ts'

export interface RedirectedNames {
  /** Of our resolver, by family; questions by a family that has none are refused, so that programs ask by the other. */
  readonly servers: readonly Endpoint[]
  /** This host's name servers. */
  readonly hostServers: readonly IpAddress[]
  /** Reached through the tunnel by routes of their own: resolvers there are asked as ever. */
  readonly beside: readonly Prefix[]
}

export interface NameRedirect extends AsyncDisposable {
  /** Undefined takes all back. Repeated, it changes nothing. Throws CommandError. */
  configure(wanted: RedirectedNames | undefined): Promise<void>
}

/** RFC 1918, RFC 6598, and RFC 4193: no exit leads to them. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7']
const FAMILIES = [
  { family: 4, word: 'ip', type: 'ipv4_addr' },
  { family: 6, word: 'ip6', type: 'ipv6_addr' },
] as const

/** Removes what a crash left. Throws CommandError. */
export async function startNameRedirect(
  interfaceName: string,
  commands: Pick<Commands, 'run'>,
): Promise<NameRedirect> {
  const table = `nexodus-names-${interfaceName.replaceAll('+', '_2b').replaceAll('=', '_3d')}`
  const removal = `table inet ${table}\ndelete table inet ${table}\n`
  const put = (input: string): Promise<unknown> => commands.run('nft', ['-f', '-'], { input })
  let made: string | undefined
  let working: Promise<void> = put(removal).then(() => undefined)
  await working
  const queued = (wanted: RedirectedNames | undefined): Promise<void> => {
    const text = wanted === undefined ? undefined : tableText(table, wanted)
    const done = working.then(async () => {
      if (text === made) return
      await put(`${removal}${text ?? ''}`)
      made = text
    })
    working = done.catch(() => undefined)
    return done
  }
  return { configure: queued, [Symbol.asyncDispose]: () => queued(undefined) }
}

/** Ahead of what others do to packets that this host sends. */
function tableText(table: string, { servers, hostServers, beside }: RedirectedNames): string {
  const sets = FAMILIES.map(({ family, type }) => {
    const isOf = (each: string): boolean => each.includes(':') === (family === 6)
    return `${setText(`beside${family}`, type, beside.filter(isOf))}${setText(`servers${family}`, type, [...PRIVATE, ...hostServers].filter(isOf))}`
  })
  const rules = FAMILIES.map(({ family, word }) => {
    const server = servers.find(({ address }) => addressFamily(address) === family)
    const question = `${word} daddr != @beside${family} ${word} daddr @servers${family} meta l4proto { tcp, udp } th dport 53`
    const to = server && (family === 4 ? server.address : `[${server.address}]`)
    return server === undefined
      ? `    ${question} counter drop\n`
      : `    ${question} dnat ${word} to ${to}:${server.port}\n`
  })
  return `table inet ${table} {
${sets.join('')}  chain redirected {
    type nat hook output priority -110; policy accept;
    oifname "lo" accept
${rules.join('')}  }
}
`
}

function setText(name: string, type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? '' : `    elements = { ${elements.join(', ')} }\n`
  return `  set ${name} {\n    type ${type}; flags interval; auto-merge;\n${list}  }\n`
}
