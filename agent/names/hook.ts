/** Hook: how a host's programs come to ask for our names: one interface, and a way for each kind of host. */
import type { Endpoint, IpAddress } from '../../protocol/address.ts'
import type { DomainName } from '../../protocol/domain-name.ts'
import type { HostsLine } from './hosts-text.ts'

/** All of what a host is to be told. */
export interface Hooked {
  /** Of the resolver; undefined: it has none. */
  readonly server: Endpoint | undefined
  /** The organization's own domain. */
  readonly search: DomainName
  /** Is it searched for short names? */
  readonly isSearched: boolean
  /** Asked of the resolver: the organization's, reverse zones, and what it forwards. */
  readonly domains: readonly DomainName[]
  readonly lines: readonly HostsLine[]
  /** A name that must then be found: this device's own. */
  readonly own: { readonly name: DomainName; readonly addresses: readonly IpAddress[] }
}

export interface Hook {
  readonly kind: 'systemd-resolved' | 'resolvconf' | 'hosts'
  /** Why it is not for this host, for people; undefined: it is. Changes nothing. */
  obstacle(wanted: Hooked): Promise<string | undefined>
  /** Makes it so; repeated with the same it changes nothing, and puts back what others removed. */
  apply(wanted: Hooked): Promise<void>
  /** Takes back all, and what a crash left. Harmless where there is nothing. */
  remove(): Promise<void>
}
