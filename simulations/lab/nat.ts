/** Kinds of site, by what RFC 4787 says of their NAT boxes, and the boxes as nftables rules. */

/** kind      mapping                filtering                     made of
 *  public    none                   none                          no NAT
 *  fw        none                   address and port dependent    stateful inbound drop
 *  full      endpoint independent   endpoint independent          masquerade + a map of ports to hosts
 *  addr      endpoint independent   address dependent             the same map by remote address
 *  port      endpoint independent   address and port dependent    masquerade
 *  symm      address and port dep.  address and port dependent    masquerade fully-random
 *  cgnat     endpoint independent   address and port dependent    port behind port
 *  cgsymm    address and port dep.  address and port dependent    port behind symm
 *  hairpin   endpoint independent   endpoint independent          full, whose hosts reach each other by its
 *                                                                 public address too
 *  udpblock  -                      -                             masquerade, TCP to port 443 alone passes
 *  v6        none                   address and port dependent    routed IPv6 and nothing else
 *  v6dual    none over IPv6         address and port dependent    routed IPv6, IPv4 as port */
export const BASE_KINDS = [
  'public',
  'fw',
  'full',
  'addr',
  'port',
  'symm',
  'cgnat',
  'cgsymm',
  'hairpin',
  'udpblock',
  'v6',
  'v6dual',
] as const
export type BaseKind = (typeof BASE_KINDS)[number]
/** Kinds with a LAN behind a box of its own. */
type LanKind = Exclude<BaseKind, 'public' | 'fw'>

/** `-np`: the NAT that has the public address gives other ports than the hosts chose. `-iso`: the hosts of
 *  the LAN do not reach each other, as in the Wi-Fi of a hotel. */
export type SiteKind =
  | BaseKind
  | `${Exclude<LanKind, 'v6'>}-np`
  | `${LanKind}-iso`
  | `${Exclude<LanKind, 'v6'>}-np-iso`

export interface Features {
  readonly base: BaseKind
  readonly keepsPorts: boolean
  readonly isIsolated: boolean
  readonly hasIpv4: boolean
  readonly hasIpv6: boolean
}

/** What the laboratory tries out: every base kind, and one without port preservation. */
export const SITE_KINDS: readonly SiteKind[] = [...BASE_KINDS, 'port-np']

/** Throws where there is no such kind, and says which there are. */
export function parseSiteKind(text: string): SiteKind {
  const [, name = '', np, iso] = /^([a-z0-9]+)(-np)?(-iso)?$/.exec(text) ?? []
  const base = BASE_KINDS.find((each) => each === name)
  if (base === undefined)
    throw new Error(
      `no kind of site "${text}" (${BASE_KINDS.join(', ')}; -np, -iso or -np-iso after it)`,
    )
  if ((base === 'public' || base === 'fw') && (np ?? iso) !== undefined)
    throw new Error(`kind of site "${text}": ${base} is one host without a LAN`)
  if (base === 'v6' && np !== undefined)
    throw new Error(`kind of site "${text}": v6 has no NAT whose ports could differ`)
  return text as SiteKind
}

export function featuresOf(kind: SiteKind): Features {
  const [base = kind, ...suffixes] = kind.split('-')
  const isV6 = base === 'v6'
  return {
    base: base as BaseKind,
    keepsPorts: !suffixes.includes('np'),
    isIsolated: suffixes.includes('iso'),
    hasIpv4: !isV6,
    hasIpv6: isV6 || base === 'v6dual' || base === 'public' || base === 'fw',
  }
}

/** The external port of a UDP port of 1024 and up where ports are not kept; its own inverse. */
export function otherPort(port: number): number {
  return port ^ 0x2000
}

/** Chains that miniupnpd puts its rules in; what it lets in over IPv6 passes before all else is dropped. */
const PORT_MAPPING: readonly string[] = [
  'table inet filter {',
  'chain miniupnpd { }',
  'chain prerouting_miniupnpd { }',
  'chain postrouting_miniupnpd { }',
  'chain pre { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }',
  'chain post { type nat hook postrouting priority 90; jump postrouting_miniupnpd; }',
  'chain forwarded { type filter hook forward priority 0; jump miniupnpd; meta nfproto ipv6 iifname "wan" ct state new meta l4proto != icmpv6 drop; }',
  '}',
]

/** Of a box with interfaces `wan` and `lan`. What arrives for the box itself is dropped: an early packet
 *  of a peer would else take the conntrack tuple that the host's own packet needs, and an
 *  endpoint-independent NAT would act as an address-dependent one.
 *  @param addresses the site's public IPv4 addresses, for hairpinning
 *  @param mapsPorts on request, by miniupnpd (port-mapping.ts) */
export function natRules(
  { base, keepsPorts }: Pick<Features, 'base' | 'keepsPorts'>,
  {
    addresses = [],
    mapsPorts = false,
  }: { readonly addresses?: readonly string[]; readonly mapsPorts?: boolean } = {},
): readonly string[] {
  const isSymmetric = base === 'symm' || base === 'cgsymm'
  const masquerade = isSymmetric ? 'masquerade fully-random' : 'masquerade'
  const isHairpin = base === 'hairpin'
  return [
    'table ip nat {',
    ...(KIND_MAPS[isHairpin ? 'full' : base] ?? []),
    ...(base === 'udpblock' ? UDP_BLOCK : []),
    ...(keepsPorts ? [] : OTHER_PORT),
    ...(isHairpin ? hairpin(addresses) : []),
    `chain post { type nat hook postrouting priority srcnat; oifname "wan" ${masquerade}; }`,
    'chain in { type filter hook input priority 0; iifname "wan" ct state new drop; }',
    '}',
    ...(mapsPorts ? PORT_MAPPING : IPV6_FIREWALL),
  ]
}

const IPV6_FIREWALL: readonly string[] = [
  'table ip6 fw {',
  'chain forwarded { type filter hook forward priority 0; iifname "wan" ct state new meta l4proto != icmpv6 drop; }',
  '}',
]

/** A host that answers nobody it has not spoken to. */
export const FIREWALL: readonly string[] = [
  'table inet fw {',
  'chain in { type filter hook input priority 0; iifname "wan" ct state new meta l4proto != icmpv6 drop; }',
  '}',
]

const OPTIONS = 'flags dynamic,timeout; timeout 5m;'
const KIND_MAPS: Partial<Record<BaseKind, readonly string[]>> = {
  full: [
    `map m { type inet_service : ipv4_addr . inet_service; ${OPTIONS} }`,
    'chain record { type filter hook forward priority 0; oifname "wan" meta l4proto udp update @m { udp sport : ip saddr . udp sport }; }',
    'chain pre { type nat hook prerouting priority dstnat; iifname "wan" meta l4proto udp dnat to udp dport map @m; }',
  ],
  addr: [
    `map m { type ipv4_addr . inet_service : ipv4_addr . inet_service; ${OPTIONS} }`,
    'chain record { type filter hook forward priority 0; oifname "wan" meta l4proto udp update @m { ip daddr . udp sport : ip saddr . udp sport }; }',
    'chain pre { type nat hook prerouting priority dstnat; iifname "wan" meta l4proto udp dnat to ip saddr . udp dport map @m; }',
  ],
}

const UDP_BLOCK: readonly string[] = [
  'chain block { type filter hook forward priority 0; oifname "wan" meta l4proto != tcp drop; oifname "wan" tcp dport != 443 drop; }',
]

/** What a host of the LAN sends to a public address of the site goes to the host that has the port, with
 *  its source rewritten too (RFC 4787 §6), so that the answer comes back the same way. */
function hairpin(addresses: readonly string[]): readonly string[] {
  return [
    `chain turn { type nat hook prerouting priority dstnat; iifname "lan" meta l4proto udp ip daddr { ${addresses.join(', ')} } dnat to udp dport map @m; }`,
    'chain back { type nat hook postrouting priority srcnat; iifname "lan" oifname "lan" ct status dnat masquerade; }',
  ]
}

/** Ports are changed by XOR on the LAN side of conntrack, statelessly: not preserved, yet one mapping. */
const OTHER_PORT: readonly string[] = [
  'chain npi { type filter hook prerouting priority -400; iifname "lan" udp sport >= 1024 udp sport set udp sport ^ 0x2000; }',
  'chain npo { type filter hook postrouting priority 400; oifname "lan" udp dport >= 1024 udp dport set udp dport ^ 0x2000; }',
]
