/** Who does something, when, and by what request: handed to whatever changes an organization, for its
 *  audit log. */
import type { DeviceId } from '../protocol/keys.ts'
import type { Seconds } from '../protocol/time.ts'
import type { UserId } from './organizations.ts'
import type { Transaction } from './store/database.ts'

export type Actor =
  | {
      readonly kind: 'user'
      readonly user: UserId
      /** As people call them. */
      readonly name: string
      /** Id of the API token that was used; absent: a session. */
      readonly token?: string
    }
  | { readonly kind: 'device'; readonly device: DeviceId }
  | { readonly kind: 'registry' }

export interface Act {
  readonly who: Actor
  readonly at: Seconds
  /** The IP address that asked. */
  readonly from?: string
  /** As the log and the answer have it. */
  readonly requestId?: string
  /** Run in the transaction of the change, by `audit`: marks the request as done. */
  claim?(transaction: Transaction): Promise<void>
}

/** What the registry does by itself. */
export function byRegistry(at: Seconds): Act {
  return { who: { kind: 'registry' }, at }
}

/** The user who acts. Throws a bug's error for anybody else: only routes for users lead here. */
export function userOf({ who }: Act): UserId {
  if (who.kind === 'user') return who.user
  throw new Error(`a ${who.kind} is no user`)
}

/** Who is entered as the maker of a record. */
export function makerOf({ who }: Act): string {
  if (who.kind === 'user') return who.user
  return who.kind === 'device' ? who.device : 'registry'
}
