/** Rtnetlink's messages: links, addresses and routes as the kernel reads and writes them (rtnetlink(7)). Pure. */
import { concat, utf8 } from '../../crypto/bytes.ts'
import {
  type AddressFamily,
  addressBytes,
  addressFamily,
  addressFromBytes,
  type IpAddress,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../protocol/address.ts'
import {
  encodeAttribute,
  encodeNested,
  type NetlinkMessage,
  parseAttributes,
  textOf,
  viewOf,
} from './netlink.ts'
import { ROUTE_METRIC, ROUTE_PROTOCOL, type Route } from './routes.ts'

export interface LinkState {
  readonly index: number
  readonly name: string
  /** `wireguard`, `tun`, …; empty for a physical one. */
  readonly kind: string
  readonly alias: string
  /** Bytes. */
  readonly mtu: number
  readonly isUp: boolean
}

export interface LinkChange {
  readonly alias?: string
  /** Bytes. */
  readonly mtu?: number
  /** True brings it up; else it stays as it is. */
  readonly isUp?: boolean
}

/** `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtmsg`. */
const [LINK_BYTES, ADDRESS_BYTES, ROUTE_BYTES] = [16, 8, 12]
/** IFLA_… and, of what a link is, IFLA_INFO_KIND. */
const [NAME, MTU, INFO, ALIAS, INFO_KIND] = [3, 4, 18, 20, 1]
/** IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS; IFA_F_NODAD. */
const [IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, NO_DETECTION] = [1, 2, 8, 0x02]
/** RTA_… and, of its metrics, RTAX_MTU. */
const [DESTINATION, OUT, PRIORITY, SOURCE, METRICS, METRIC_MTU] = [1, 4, 6, 7, 8, 2]
/** IFF_UP; AF_INET, AF_INET6; RT_TABLE_MAIN; RTN_UNICAST. */
const [UP, FAMILIES, MAIN_TABLE, UNICAST] = [1, { 4: 2, 6: 10 }, 254, 1] as const
/** RT_SCOPE_LINK, of an IPv4 route without a gateway; RT_SCOPE_NOWHERE, of one to delete. */
const [SCOPE_LINK, SCOPE_NOWHERE] = [253, 255]
const HOST_BITS = { 4: 32, 6: 128 } as const

/** @param which its name, or its index, where it is there already */
export function linkBody(
  which: string | number | undefined,
  { kind, alias, mtu, isUp = false }: LinkChange & { readonly kind?: string } = {},
): Uint8Array {
  const header = Buffer.alloc(LINK_BYTES)
  if (typeof which === 'number') header.writeInt32LE(which, 4)
  // The flags, and which of them are to change.
  header.writeUInt32LE(isUp ? UP : 0, 8)
  header.writeUInt32LE(isUp ? UP : 0, 12)
  return concat(
    header,
    ...(typeof which === 'string' ? [encodeAttribute(NAME, utf8(`${which}\0`))] : []),
    ...(kind === undefined ? [] : [encodeNested(INFO, [encodeAttribute(INFO_KIND, utf8(kind))])]),
    ...(alias === undefined ? [] : [encodeAttribute(ALIAS, utf8(alias))]),
    ...(mtu === undefined ? [] : [encodeAttribute(MTU, number32(mtu))]),
  )
}

export function parseLink({ body }: NetlinkMessage): LinkState {
  const at = attributesOf(body, LINK_BYTES)
  const mtu = at.get(MTU)
  const text = (value: Uint8Array | undefined): string => (value === undefined ? '' : textOf(value))
  return {
    index: viewOf(body).getInt32(4, true),
    name: text(at.get(NAME)),
    kind: text(attributesOf(at.get(INFO) ?? new Uint8Array(), 0).get(INFO_KIND)),
    alias: text(at.get(ALIAS)),
    mtu: mtu === undefined ? 0 : viewOf(mtu).getUint32(0, true),
    isUp: (viewOf(body).getUint32(8, true) & UP) !== 0,
  }
}

/** All of a link. */
export function addressQuery(link: number): Uint8Array {
  return addressHeader(link, 0, 0)
}

/** IPv6's are used at once: nobody else on a tunnel can answer duplicate address detection. */
export function addressBody(link: number, address: Prefix): Uint8Array {
  const family = addressFamily(address)
  const bytes = addressBytes(prefixAddress(address))
  return concat(
    addressHeader(link, FAMILIES[family], prefixLength(address)),
    encodeAttribute(IFA_LOCAL, bytes),
    encodeAttribute(IFA_ADDRESS, bytes),
    ...(family === 6 ? [encodeAttribute(IFA_FLAGS, number32(NO_DETECTION))] : []),
  )
}

/** Undefined where it is not of global scope. */
export function parseAddress({ body }: NetlinkMessage): Prefix | undefined {
  const [bits, scope] = [body[1], body[3]]
  const at = attributesOf(body, ADDRESS_BYTES)
  const local = at.get(IFA_LOCAL) ?? at.get(IFA_ADDRESS)
  if (scope !== 0 || local === undefined) return undefined
  return `${addressFromBytes(local)}/${bits}` as Prefix
}

/** Ours by a link, in the main table. */
export function routesQuery(family: AddressFamily, link: number): Uint8Array {
  const header = routeHeader({ family, bits: 0, table: MAIN_TABLE, protocol: ROUTE_PROTOCOL })
  return concat(header, encodeAttribute(OUT, number32(link)))
}

export function routeQuery(address: IpAddress): Uint8Array {
  const family = addressFamily(address)
  const header = routeHeader({ family, bits: HOST_BITS[family] })
  return concat(header, encodeAttribute(DESTINATION, addressBytes(address)))
}

export function newRoute(link: number, { prefix, source, mtu }: Route): Uint8Array {
  const scope = addressFamily(prefix) === 4 ? SCOPE_LINK : 0
  const metrics = mtu === undefined ? [] : [encodeAttribute(METRIC_MTU, number32(mtu))]
  return concat(
    routeBody(link, prefix, { type: UNICAST, scope }),
    ...(source === undefined ? [] : [encodeAttribute(SOURCE, addressBytes(source))]),
    ...(metrics.length === 0 ? [] : [encodeNested(METRICS, metrics)]),
  )
}

export function oldRoute(link: number, prefix: Prefix): Uint8Array {
  return routeBody(link, prefix, { scope: SCOPE_NOWHERE })
}

export function parseRoute(message: NetlinkMessage): Route & { readonly link: number | undefined } {
  const { body } = message
  const at = attributesOf(body, ROUTE_BYTES)
  const [destination, source, out] = [at.get(DESTINATION), at.get(SOURCE), at.get(OUT)]
  const any = body[0] === FAMILIES[4] ? '0.0.0.0' : '::'
  const address = destination === undefined ? any : addressFromBytes(destination)
  const mtu = attributesOf(at.get(METRICS) ?? new Uint8Array(), 0).get(METRIC_MTU)
  return {
    prefix: parsePrefix(`${address}/${body[1]}`),
    ...(source === undefined ? {} : { source: addressFromBytes(source) }),
    ...(mtu === undefined ? {} : { mtu: viewOf(mtu).getUint32(0, true) }),
    link: out === undefined ? undefined : viewOf(out).getUint32(0, true),
  }
}

function addressHeader(link: number, family: number, bits: number): Uint8Array {
  const header = Buffer.alloc(ADDRESS_BYTES)
  header[0] = family
  header[1] = bits
  header.writeUInt32LE(link, 4)
  return header
}

interface RouteHeader {
  readonly family: AddressFamily
  readonly bits: number
  readonly table?: number
  readonly protocol?: number
  readonly scope?: number
  readonly type?: number
}

function routeHeader({ family, bits, table, protocol, scope, type }: RouteHeader): Uint8Array {
  const header = Buffer.alloc(ROUTE_BYTES)
  header.set([FAMILIES[family], bits, 0, 0, table ?? 0, protocol ?? 0, scope ?? 0, type ?? 0])
  return header
}

function routeBody(
  link: number,
  prefix: Prefix,
  own: Pick<RouteHeader, 'scope' | 'type'>,
): Uint8Array {
  const [family, bits] = [addressFamily(prefix), prefixLength(prefix)]
  return concat(
    routeHeader({ ...own, family, bits, table: MAIN_TABLE, protocol: ROUTE_PROTOCOL }),
    encodeAttribute(DESTINATION, addressBytes(prefixAddress(prefix))),
    encodeAttribute(PRIORITY, number32(ROUTE_METRIC)),
    encodeAttribute(OUT, number32(link)),
  )
}

function attributesOf(body: Uint8Array, headerBytes: number): ReadonlyMap<number, Uint8Array> {
  return new Map(
    parseAttributes(body.subarray(headerBytes)).map(({ type, value }) => [type, value]),
  )
}

function number32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
