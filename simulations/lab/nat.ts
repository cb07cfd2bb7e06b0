/** NAT boxes as nftables rules, by what RFC 4787 says of them. */

/** kind      mapping                filtering                     made of
 *  public    none                   none                          no NAT
 *  fw        none                   address and port dependent    stateful inbound drop
 *  full      endpoint independent   endpoint independent          masquerade + a map of ports to hosts
 *  addr      endpoint independent   address dependent             the same map by remote address
 *  port      endpoint independent   address and port dependent    masquerade
 *  port-np   endpoint independent   address and port dependent    the same, other external port
 *  symm      address and port dep.  address and port dependent    masquerade fully-random
 *  cgnat     endpoint independent   address and port dependent    port behind port
 *  udpblock  -                      -                             masquerade, TCP to port 443 alone passes
 *  v6dual    none over IPv6         address and port dependent    routed IPv6, IPv4 as port */
export const SITE_KINDS = [
  'public',
  'fw',
  'full',
  'addr',
  'port',
  'port-np',
  'symm',
  'cgnat',
  'udpblock',
  'v6dual',
] as const
export type SiteKind = (typeof SITE_KINDS)[number]

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
 *  @param mapsPorts on request, by miniupnpd (port-mapping.ts) */
export function natRules(kind: SiteKind, mapsPorts = false): readonly string[] {
  const masquerade = kind === 'symm' ? 'masquerade fully-random' : 'masquerade'
  return [
    'table ip nat {',
    ...(KIND_MAPS[kind] ?? []),
    ...(kind === 'udpblock' ? UDP_BLOCK : []),
    ...(kind === 'port-np' ? OTHER_PORT : []),
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
const KIND_MAPS: Partial<Record<SiteKind, readonly string[]>> = {
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

/** Ports are changed by XOR on the LAN side of conntrack, statelessly: not preserved, yet one mapping. */
const OTHER_PORT: readonly string[] = [
  'chain npi { type filter hook prerouting priority -400; iifname "lan" udp sport >= 1024 udp sport set udp sport ^ 0x2000; }',
  'chain npo { type filter hook postrouting priority 400; oifname "lan" udp dport >= 1024 udp dport set udp dport ^ 0x2000; }',
]
