/** Issuer expiry: an issuer certificate that nothing here can renew is told of from 30 days before its end,
 *  daily, in the last three days hourly. */
import type { Clock } from '../protocol/clock.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Seconds } from '../protocol/time.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD, type Head } from './head.ts'
import type { Issuing } from './issuing.ts'
import type { Database } from './store/database.ts'

const HOUR = 3600
const DAY = 24 * HOUR
/** Seconds before the end. */
const TOLD = { daily: 30 * DAY, hourly: 3 * DAY } as const

export interface IssuerExpiryParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** An issuer certificate whose end is near, and that waits for a root key which is elsewhere. */
export interface IssuerExpiry {
  readonly notAfter: Seconds
  /** Whole days, 0 at the last and after the end. */
  readonly daysLeft: number
  readonly isOver: boolean
}

/** Undefined while it lasts for long. */
export function expiryOf({ issuer }: Pick<Head, 'issuer'>, now: Seconds): IssuerExpiry | undefined {
  const left = issuer.notAfter - now
  if (left > TOLD.daily) return undefined
  return {
    notAfter: issuer.notAfter as Seconds,
    daysLeft: Math.max(0, Math.floor(left / DAY)),
    isOver: left <= 0,
  }
}

/** Seconds until it is to be told again. */
export function tellingInterval(
  { notAfter }: Pick<IssuerExpiry, 'notAfter'>,
  now: Seconds,
): number {
  return notAfter - now <= TOLD.hourly ? HOUR : DAY
}

/** The expiry that its owner must act on: none where the root key is here and renews it. */
export async function issuerExpiry(
  { database, issuing, clock }: Omit<IssuerExpiryParts, 'log'>,
  organization: OrganizationId,
): Promise<IssuerExpiry | undefined> {
  const head = await database.get(HEAD, organization)
  if (head === undefined || head.deletedAt !== undefined) return undefined
  const expiry = expiryOf(head, clock.now())
  if (expiry === undefined) return undefined
  return (await issuing.keys.root(organization)) === undefined ? expiry : undefined
}

/** Seconds until the first issuer certificate of all ends, below 0 when it has; infinite where there is none. */
export async function leastLeft({
  database,
  clock,
}: Pick<IssuerExpiryParts, 'database' | 'clock'>): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for await (const { value } of database.list(HEAD)) {
    if (value.deletedAt === undefined) least = Math.min(least, value.issuer.notAfter - clock.now())
  }
  return least
}

export interface IssuerExpiryTeller {
  /** To be called every few minutes. */
  look(): Promise<void>
}

export function openIssuerExpiryTeller(parts: IssuerExpiryParts): IssuerExpiryTeller {
  const { issuing, clock, log } = parts
  const told = new Map<OrganizationId, Seconds>()
  return {
    async look() {
      await eachOrganization(parts, 'expiry', async (organization) => {
        const expiry = await issuerExpiry(parts, organization)
        if (expiry === undefined) {
          told.delete(organization)
          return
        }
        const now = clock.now()
        const last = told.get(organization)
        if (last !== undefined && now - last < tellingInterval(expiry, now)) return
        told.set(organization, now)
        const { notAfter, daysLeft, isOver } = expiry
        log(isOver || daysLeft < TOLD.hourly / DAY ? 'error' : 'warn', 'issuer.ends-without-root', {
          ...{ organization, daysLeft, notAfter: new Date(notAfter * 1000).toISOString() },
          todo: `nexctl organization root request, sign and install; or put the root key back (nexctl organization root import, or the file ${issuing.keys.rootPath(organization)})`,
        })
      })
    },
  }
}
