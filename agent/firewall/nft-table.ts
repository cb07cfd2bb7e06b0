/** nftables table: the compiled policy as one transaction. Two look-ups a packet: the other end's address gives a chain,
 *  the chain has what may pass.
 *  Every packet is judged by its flow's first one (`ct original`), whichever way it goes: so answers pass, a flow that a
 *  new version denies ends at once, and what a router forwards is judged before and after NAT alike. */
import { type AddressFamily, addressFamily, type Prefix } from '../../protocol/address.ts'
import { numberText } from '../../protocol/address-range.ts'
import type { Direction, PortRange } from '../../protocol/policy-rules.ts'
import { removalText, tableOfInterface } from '../host/nft-tables.ts'
import { aliasChains } from './alias-rules.ts'
import type { Allowance, ClassRange, CompiledDirection, CompiledPolicy } from './compile.ts'
import type { Aliases } from './firewall.ts'

export interface TableOptions {
  readonly interfaceName: string
  readonly policy: CompiledPolicy
  /** This device's addresses, and the prefixes that it holds: what it forwards from the tunnel to elsewhere. */
  readonly ownPrefixes: readonly Prefix[]
  /** TCP ports of the mesh here and at others: it carries revocations and the policy itself, and admits members alone.
   *  This process and its user reach it whatever the policy; what this host forwards is never the mesh's. */
  readonly mesh: {
    readonly own: readonly number[]
    readonly others: readonly number[]
    readonly user: number
  }
  readonly aliases: Aliases
  /** Put on a rule: owner.ts. */
  readonly mark: string
}

export function tableName(interfaceName: string): string {
  return tableOfInterface(TABLE_PREFIX, interfaceName)
}

export const TABLE_PREFIX = 'nexodus-policy-'

/** Replaces the table. Chains only ever drop: other tables of the host decide as before. */
export function tableText(options: TableOptions): string {
  const { interfaceName, policy, ownPrefixes, aliases, mark } = options
  const tunnel = `"${interfaceName}"`
  const table = tableName(interfaceName)
  return `${removalText(table)}table inet ${table} {
${heldSet(4, ownPrefixes)}${heldSet(6, ownPrefixes)}${directionText('inbound', policy.inbound)}${directionText('outbound', policy.outbound)}  chain arriving {
    ct state related meta l4proto { icmp, ipv6-icmp } accept
    ct direction original goto inbound
    ct direction reply goto outbound
    drop
  }
  chain leaving {
    ct state related meta l4proto { icmp, ipv6-icmp } accept
    ct direction original goto outbound
    ct direction reply goto inbound
    drop
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    iifname != ${tunnel} accept
${meshArriving(options)}    goto arriving comment "${mark}"
  }
  chain output {
    type filter hook output priority filter - 5; policy accept;
    oifname != ${tunnel} accept
${meshLeaving(options)}    goto leaving
  }
  chain forward-from {
    type filter hook forward priority filter - 6; policy accept;
    iifname != ${tunnel} accept
    oifname != ${tunnel} ct direction original ct original ip daddr != @held4 counter drop
    oifname != ${tunnel} ct direction original ct original ip6 daddr != @held6 counter drop
    goto arriving
  }
  chain forward-to {
    type filter hook forward priority filter - 5; policy accept;
    oifname ${tunnel} goto leaving
  }
${aliasChains(interfaceName, aliases)}}
`
}

function heldSet(family: AddressFamily, prefixes: readonly Prefix[]): string {
  const own = prefixes.filter((prefix) => addressFamily(prefix) === family)
  // Of prefixes inside each other nft merges the elements.
  return `  set held${family} {
    type ${TYPES[family]}; flags interval; auto-merge;
${elements(own)}  }
`
}

const TYPES = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const

function elements(items: readonly string[]): string {
  return items.length === 0 ? '' : `    elements = { ${items.join(', ')} }\n`
}

function directionText(direction: Direction, compiled: CompiledDirection): string {
  if (compiled.kind === 'default') {
    const verdict = compiled.verdict === 'accept' ? 'accept' : 'counter drop'
    return `  chain ${direction} {\n    ${verdict}\n  }\n`
  }
  const field = direction === 'inbound' ? 'saddr' : 'daddr'
  const chains = compiled.classes.map((each, index) => classChain(direction, index, each))
  const map = (family: AddressFamily): string => `  map ${direction}${family} {
    type ${TYPES[family]} : verdict; flags interval;
${elements(compiled.ranges[family].map((range) => element(direction, family, range, compiled.classes)))}  }
`
  return `${chains.join('')}${map(4)}${map(6)}  chain ${direction} {
    ct original ip ${field} vmap @${direction}4
    ct original ip6 ${field} vmap @${direction}6
    counter drop
  }
`
}

function element(
  direction: Direction,
  family: AddressFamily,
  { first, last, class: index }: ClassRange,
  classes: readonly Allowance[],
): string {
  const [from, to] = [numberText(family, first), numberText(family, last)]
  const verdict =
    classes[index]?.protocols === 'all' ? 'accept' : `jump ${className(direction, index)}`
  return `${from === to ? from : `${from}-${to}`} : ${verdict}`
}

function className(direction: Direction, index: number): string {
  return `${direction}-class-${index}`
}

function classChain(
  direction: Direction,
  index: number,
  { protocols, tcp, udp }: Allowance,
): string {
  if (protocols === 'all') return ''
  const whole = protocols.length === 0 ? [] : [`ct original protocol { ${protocols.join(', ')} }`]
  const rules = [...whole, ...portRule('tcp', tcp), ...portRule('udp', udp)]
  const lines = rules.map((each) => `    ${each} accept\n`).join('')
  return `  chain ${className(direction, index)} {\n${lines}  }\n`
}

function portRule(protocol: 'tcp' | 'udp', ports: readonly PortRange[]): readonly string[] {
  if (ports.length === 0) return []
  const list = ports.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`))
  return [`meta l4proto ${protocol} ct original proto-dst { ${list.join(', ')} }`]
}

function meshArriving({ mesh: { own, others } }: TableOptions): string {
  return [
    portSet(own, (set) => `ct direction original tcp dport ${set} accept`),
    portSet(others, (set) => `ct direction reply tcp sport ${set} accept`),
  ].join('')
}

function meshLeaving({ mesh: { own, others, user } }: TableOptions): string {
  return [
    portSet(others, (set) => `ct direction original meta skuid ${user} tcp dport ${set} accept`),
    portSet(own, (set) => `ct direction reply tcp sport ${set} accept`),
  ].join('')
}

function portSet(ports: readonly number[], rule: (set: string) => string): string {
  return ports.length === 0 ? '' : `    ${rule(`{ ${ports.join(', ')} }`)}\n`
}
