/** Router rules: what a router forwards, as the text of one nftables transaction. Pure. From the tunnel only what goes to
 *  an advertised prefix is let through, whatever else the host forwards; what comes back to the tunnel is what was asked
 *  for, or from such a prefix. Two hooks of our own; nobody else's rules are touched, and what others drop stays dropped. */

import {
  type AddressFamily,
  addressFamily,
  isDefaultPrefix,
  type Prefix,
} from '../../protocol/address.ts'
import { removalText } from './nft-tables.ts'

export interface RouterRules {
  readonly tunnelInterface: string
  /** What others may reach through this host; a default prefix makes it an exit. */
  readonly prefixes: readonly Prefix[]
  /** Networks of this host: an exit does not lead there, unless they are advertised, too; nor to links and groups. */
  readonly localPrefixes: readonly Prefix[]
  /** Of an advertised prefix: rewrite the source to this host's address on the way out, so that its hosts need no way
   *  back. What leaves by an exit is always rewritten. */
  readonly nat: boolean
}

/** What is not the internet, on any host: links, where clouds have what tells a host its secrets, groups, and two such
 *  services of clouds that are not on the link. */
const NO_INTERNET: Readonly<Record<AddressFamily, readonly string[]>> = {
  4: ['169.254.0.0/16', '224.0.0.0/4'],
  6: ['fe80::/10', 'ff00::/8', 'fd00:ec2::254', 'fd20:ce::254'],
}

/** Names the counter of a prefix in the rule's comment. */
export function prefixComment(prefix: Prefix): string {
  return `to ${prefix}`
}

/** Makes the table so in one act, whatever it was. @param mark of the process that owns it */
export function routerTable(table: string, rules: RouterRules, mark: string): string {
  const { tunnelInterface: tunnel } = rules
  return `${removalText(table)}table inet ${table} {
${localSet(4, rules)}${localSet(6, rules)}  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${tunnel}" oifname "${tunnel}" counter drop
    iifname "${tunnel}" tcp flags syn tcp option maxseg size set rt mtu
    oifname "${tunnel}" tcp flags syn tcp option maxseg size set rt mtu
    iifname "${tunnel}" jump inward
  }
  chain inward {
${lines(rules.prefixes.map(admission))}    ct direction reply ct state established,related accept
    counter drop comment "${mark}"
  }
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
${lines(rules.prefixes.flatMap((prefix) => translation(prefix, rules)))}  }
}
`
}

function admission(prefix: Prefix): string {
  const verdict = `counter accept comment "${prefixComment(prefix)}"`
  if (!isDefaultPrefix(prefix)) return `${destination(prefix)} ${verdict}`
  const family = addressFamily(prefix)
  return `meta nfproto ipv${family} ${WORDS[family]} daddr != @local${family} ${verdict}`
}

const WORDS = { 4: 'ip', 6: 'ip6' } as const

/** Of prefixes inside each other nft merges the elements. */
function localSet(family: AddressFamily, { localPrefixes }: RouterRules): string {
  const local = localPrefixes.filter((each) => addressFamily(each) === family)
  return `  set local${family} {
    type ipv${family}_addr; flags interval; auto-merge;
    elements = { ${[...NO_INTERNET[family], ...local].join(', ')} }
  }
`
}

function translation(prefix: Prefix, { tunnelInterface: tunnel, nat }: RouterRules): string[] {
  const way = `iifname "${tunnel}" oifname != "${tunnel}"`
  if (isDefaultPrefix(prefix)) return [`${way} meta nfproto ipv${addressFamily(prefix)} masquerade`]
  return [`${way} ${destination(prefix)} ${nat ? 'masquerade' : 'accept'}`]
}

function destination(prefix: Prefix): string {
  return `${WORDS[addressFamily(prefix)]} daddr ${prefix}`
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `    ${text}\n`).join('')
}
