/** Who does something, and by what request: handed to whatever changes an organization, for its audit log. */
import type { DeviceId } from '../protocol/keys.ts'
import type { UserId } from './organizations.ts'
import type { Transaction } from './store/database.ts'

export type Actor =
  | { readonly kind: 'user'; readonly user: UserId; readonly name: string; readonly token?: string }
  | { readonly kind: 'device'; readonly device: DeviceId }
  | { readonly kind: 'registry' }

export interface Act {
  readonly who: Actor
  /** The IP address that asked. */
  readonly from?: string
  /** Of the request, as the log and the answer have it. */
  readonly requestId?: string
  /** Run once in the transaction of the change, by `audit`: marks the request as done. */
  claim?(transaction: Transaction): Promise<void>
}

/** What the registry does by itself. */
export const BY_REGISTRY: Act = { who: { kind: 'registry' } }
