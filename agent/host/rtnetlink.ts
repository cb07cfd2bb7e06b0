/** Rtnetlink: links, addresses and routes, asked of the kernel and told it (rtnetlink(7)): what `ip` does by a process
 *  of its own. Of one network namespace. */
import { addressFamily, type IpAddress, type Prefix } from '../../protocol/address.ts'
import { NetlinkError, type NetlinkMessage } from './netlink.ts'
import { DUMP, NetlinkExchange } from './netlink-exchange.ts'
import type { NetlinkSocket } from './netlink-socket.ts'
import type { Route } from './routes.ts'
import {
  addressBody,
  addressQuery,
  type LinkChange,
  type LinkState,
  linkBody,
  newRoute,
  oldRoute,
  parseAddress,
  parseLink,
  parseRoute,
  routeQuery,
  routesQuery,
} from './rtnetlink-messages.ts'

/** RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE; to delete is one more, to get two. */
const [LINK, ADDRESS, ROUTE] = [16, 20, 24]
const [DELETE, GET] = [1, 2]
/** NLM_F_CREATE with NLM_F_EXCL, and with NLM_F_REPLACE. */
const [NEW, REPLACE] = [0x600, 0x500]
/** The main table is made by its first route. */
const NO_TABLE = ['ENOENT', 'EAFNOSUPPORT', 'ENOTSUP']
const NOWHERE = ['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'EAFNOSUPPORT', 'ENOTSUP']

/** Every method throws NetlinkError where the kernel refuses. */
export class Rtnetlink implements Disposable {
  readonly #exchange: NetlinkExchange

  constructor(socket: NetlinkSocket) {
    this.#exchange = new NetlinkExchange(socket)
  }

  links(): readonly LinkState[] {
    return this.#ask('links', LINK + GET, DUMP, linkBody(undefined)).map(parseLink)
  }

  /** Undefined where there is none. @param which its name or its index */
  link(which: string | number): LinkState | undefined {
    const ask = () => this.#ask(`link ${which}`, LINK + GET, 0, linkBody(which))
    return unless(['ENODEV'], ask)?.map(parseLink)[0]
  }

  addLink(name: string, kind: string): void {
    this.#ask(`adding ${name}`, LINK, NEW, linkBody(name, { kind }))
  }

  changeLink(name: string, change: LinkChange): void {
    this.#ask(`changing ${name}`, LINK, 0, linkBody(name, change))
  }

  deleteLink(name: string): void {
    this.#ask(`deleting ${name}`, LINK + DELETE, 0, linkBody(name))
  }

  /** The link's own, of global scope. */
  addresses(link: number): readonly Prefix[] {
    const found = this.#ask('addresses', ADDRESS + GET, DUMP, addressQuery(link))
    return found.flatMap((message) => parseAddress(message) ?? [])
  }

  addAddress(link: number, address: Prefix): void {
    this.#ask(`adding ${address}`, ADDRESS, NEW, addressBody(link, address))
  }

  deleteAddress(link: number, address: Prefix): void {
    this.#ask(`deleting ${address}`, ADDRESS + DELETE, 0, addressBody(link, address))
  }

  /** Ours by the link. */
  routes(link: number): readonly Route[] {
    return ([4, 6] as const).flatMap((family) => {
      const ask = () => this.#ask('routes', ROUTE + GET, DUMP, routesQuery(family, link))
      // A kernel without IPv6 takes the question for one about all families.
      return (unless(NO_TABLE, ask) ?? []).flatMap((message) => {
        const { link: _, ...route } = parseRoute(message)
        return addressFamily(route.prefix) === family ? [route] : []
      })
    })
  }

  replaceRoute(link: number, route: Route): void {
    this.#ask(`route to ${route.prefix}`, ROUTE, REPLACE, newRoute(link, route))
  }

  deleteRoute(link: number, prefix: Prefix): void {
    this.#ask(`deleting the route to ${prefix}`, ROUTE + DELETE, 0, oldRoute(link, prefix))
  }

  /** By which link a packet leaves, and the MTU in bytes that the route itself has; undefined where none leads there. */
  routeTo(address: IpAddress): { readonly link: number; readonly mtu?: number } | undefined {
    const ask = () => this.#ask(`route to ${address}`, ROUTE + GET, 0, routeQuery(address))
    const [found] = (unless(NOWHERE, ask) ?? []).map(parseRoute)
    if (found?.link === undefined) return undefined
    return { link: found.link, ...(found.mtu === undefined ? {} : { mtu: found.mtu }) }
  }

  [Symbol.dispose](): void {
    this.#exchange[Symbol.dispose]()
  }

  #ask(what: string, type: number, flags: number, body: Uint8Array): readonly NetlinkMessage[] {
    return this.#exchange.ask(what, { type, flags, body })
  }
}

function unless<T>(codes: readonly string[], act: () => T): T | undefined {
  try {
    return act()
  } catch (error) {
    if (error instanceof NetlinkError && codes.includes(error.code)) return undefined
    throw error
  }
}
