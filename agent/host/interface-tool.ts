/** Interface tool: what makes links, addresses and routes on the host: the kernel itself where it can be asked, else
 *  `ip`. Every method throws CommandError. */
import type { Prefix } from '../../protocol/address.ts'
import type { Route, RouteChange } from './routes.ts'

export interface Link {
  readonly name: string
  /** `wireguard`, `tun`, …; empty for a physical one. */
  readonly kind: string
  /** ifalias(8), where our owner's mark is. */
  readonly alias: string
}

/** What the interface has now. */
export interface InterfaceState {
  /** Bytes. */
  readonly mtu: number
  readonly isUp: boolean
  readonly addresses: readonly Prefix[]
  readonly routes: readonly Route[]
}

export type InterfaceChange =
  | RouteChange
  /** Brings it up with an MTU, bytes. */
  | { readonly what: 'up'; readonly mtu: number }
  | { readonly what: 'address' | 'no-address'; readonly address: Prefix }

export interface InterfaceTool {
  /** Every interface of the namespace. */
  links(): Promise<readonly Link[]>
  add(name: string, kind: string): Promise<void>
  /** Writes a mark on it (ifalias) and brings it up. */
  claim(name: string, alias: string): Promise<void>
  delete(name: string): Promise<void>
  read(name: string): Promise<InterfaceState>
  /** One after the other; one that fails does not stop those after it. */
  apply(name: string, changes: readonly InterfaceChange[]): Promise<ConfiguredInterface>
}

export interface ConfiguredInterface {
  /** False where the host has IPv6 switched off: then IPv6 addresses and routes were left out. */
  readonly hasIpv6: boolean
}
