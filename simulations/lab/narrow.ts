/** Narrow links in the laboratory: an access link that carries less than Ethernet's 1500 bytes, and what the
 *  boxes beside it say and let through. */
import type { Lab } from './lab.ts'
import type { Namespace } from './namespace.ts'

/** The link between the core and the site's NAT box carries packets of so many bytes, both ways. */
export async function narrow(lab: Lab, site: number, mtu: number): Promise<void> {
  await Promise.all([
    lab.core.exec('ip', 'link', 'set', `s${site}`, 'mtu', `${mtu}`),
    lab.router(site).exec('ip', 'link', 'set', 'wan', 'mtu', `${mtu}`),
  ])
}

/** Its boxes tell nobody that a packet was too large: a black hole (RFC 2923 §2.1), but for TCP, whose
 *  segments they keep small, as the boxes of such links do. Packets in pieces are dropped too, as many
 *  firewalls do, where `fragments` is `drop`. */
export async function silence(
  lab: Lab,
  site: number,
  { fragments }: { readonly fragments: 'pass' | 'drop' },
): Promise<void> {
  const rules = [
    ...TABLE,
    'table inet silent {',
    'chain out { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }',
    'chain clamp { type filter hook forward priority 0; tcp flags & (syn | rst) == syn tcp option maxseg size set 1200; }',
    ...(fragments === 'drop' ? [PIECES] : []),
    '}',
  ]
  await Promise.all([lab.core, lab.router(site)].map((box) => box.batch('nft', rules)))
}

/** Its boxes say what is too large. */
export async function unsilence(lab: Lab, site: number): Promise<void> {
  await Promise.all([lab.core, lab.router(site)].map((box: Namespace) => box.batch('nft', TABLE)))
}

/** Adding before deleting makes it hold whether or not the table is there. */
const TABLE = ['table inet silent', 'delete table inet silent']
/** Before conntrack puts pieces together. */
const PIECES =
  'chain pieces { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 drop; exthdr frag exists drop; }'
