/** Firewall: what holds the tunnel to the policy, behind one interface whatever carries it. */
import type { PolicyMember } from '../../protocol/policy-holders.ts'
import type { PolicyRules } from '../../protocol/policy-rules.ts'
import type { Alias } from '../../protocol/route-alias.ts'

/** What goes through the tunnel from another source than it is from, while a prefix moves (SPEC §8.9). */
export interface Aliases {
  /** From these aliases, which WireGuard takes from the devices that they are of alone. */
  readonly arriving: readonly Alias[]
  /** From these prefixes of this device. */
  readonly leaving: readonly Alias[]
}

export const NO_ALIASES: Aliases = { arriving: [], leaving: [] }

/** The whole wanted state. */
export interface FirewallConfig {
  readonly policy: PolicyRules
  /** This device, and what it holds. */
  readonly own: PolicyMember
  /** The others, with what WireGuard lets them send from. */
  readonly peers: readonly PolicyMember[]
  /** TCP ports of the mesh: at this device, and at others. */
  readonly meshPorts: { readonly own: readonly number[]; readonly others: readonly number[] }
  /** Absent: none. */
  readonly aliases?: Aliases
}

export interface Firewall extends AsyncDisposable {
  /** Resolves when packets are judged by it, all at once. Repeated, it changes nothing.
   *  Throws CommandError: then it is as it was before. */
  enforce(config: FirewallConfig): Promise<void>
  /** Calls back when it may no longer be as it was told, and could not be put right. */
  onLost: (reason: string) => void
}
