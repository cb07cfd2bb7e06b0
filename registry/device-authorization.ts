/** Device authorization (RFC 8628): a device asks, a person who signed in decides, the device gets a
 *  one-time token that enrols this device key with this WireGuard key and no other. */
import { toBase64url, toHex } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { fingerprintOf } from '../protocol/fingerprint.ts'
import { type DeviceId, type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import {
  AUTHORIZATION,
  findPending,
  hashOf,
  PENDING,
  REQUESTED,
  stopWaiting,
  TOKEN,
  USER_CODE,
} from './authorization-record.ts'
import type { DeviceOwner } from './device-change.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members } from './organizations.ts'
import { checkPending } from './pending-authorizations.ts'
import { openPollPace, POLL_INTERVAL, type PollPace } from './poll-pace.ts'
import { type Possession, spendProof } from './possession.ts'
import { Refused } from './refusal.ts'
import type { Database, Transaction } from './store/database.ts'
import { deleteExpired } from './store/expiry.ts'
import { drawUserCode } from './user-code.ts'

/** Seconds a person has to decide. RFC 8628 §6.1 asks for short; walking to another screen takes minutes. */
const AUTHORIZATION_LIFETIME = 900
/** Seconds until the token must have been used: a round trip, with a retry or two. */
const TOKEN_LIFETIME = 300

const SECRET_BYTES = 32

export interface Applicant {
  readonly possession: Possession
  /** One DNS label. */
  readonly name: string
  readonly system: string
  /** The IP address that asks, for people; and what counts as one asker. */
  readonly requestedFrom: string
  readonly source: string
}

export interface StartedAuthorization {
  readonly deviceCode: string
  readonly userCode: string
  readonly expiresIn: number
  readonly interval: number
}

/** A device that waits for a person's decision. */
export interface PendingDevice {
  readonly userCode: string
  readonly name: string
  readonly system: string
  readonly requestedFrom: string
  readonly fingerprint: string
  readonly expiresAt: Seconds
}

/** What a device hears when it asks. */
export type PollAnswer =
  | { readonly kind: 'token'; readonly token: string; readonly expiresIn: number }
  /** A person said yes, an admin has to agree. */
  | { readonly kind: 'requested'; readonly expiresIn: number }
  | { readonly kind: 'pending' | 'too-soon' | 'expired' | 'denied' | 'unknown' }

export interface DeviceAuthorizations {
  /** Throws Refused (too-many-pending, proof-replayed). */
  start(applicant: Applicant): Promise<StartedAuthorization>
  poll(deviceCode: string): Promise<PollAnswer>
  /** As typed. Undefined: unknown, expired or decided. */
  find(userCode: string): Promise<PendingDevice | undefined>
  /** Marks it approved, inside a change of the organization that is to have the device. The device it
   *  is about, or undefined: unknown, expired or decided. */
  approve(
    change: OrganizationChange,
    userCode: string,
    owner: DeviceOwner,
  ): Promise<{ device: DeviceId; wireguardKey: string; name: string; system: string } | undefined>
  /** False: unknown, expired or decided. */
  deny(userCode: string): Promise<boolean>
  /** Throws Refused (token-refused). */
  organizationOf(token: string): Promise<OrganizationId>
  /** Uses the token up; the owner is the device's own by now. Throws Refused (token-refused): unknown, used,
   *  expired, of other keys, or the device was removed or its owner left since it was let in. */
  spend(
    change: OrganizationChange,
    token: string,
    possession: Possession,
  ): Promise<DeviceOwner & { readonly byPerson: true }>
  /** Removes what has expired. */
  forgetExpired(): Promise<void>
}

export interface DeviceAuthorizationParts {
  readonly database: Database
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly randomBytes: RandomBytes
}

export function openDeviceAuthorizations(parts: DeviceAuthorizationParts): DeviceAuthorizations {
  return new StoredAuthorizations(parts)
}

class StoredAuthorizations implements DeviceAuthorizations {
  readonly #parts: DeviceAuthorizationParts
  /** By hash of the device code. */
  readonly #pace: PollPace

  constructor(parts: DeviceAuthorizationParts) {
    this.#parts = parts
    this.#pace = openPollPace(parts.clock)
  }

  async start(applicant: Applicant): Promise<StartedAuthorization> {
    const { database, clock, randomBytes } = this.#parts
    const { possession, name, system, requestedFrom, source } = applicant
    const deviceCode = toBase64url(randomBytes(SECRET_BYTES))
    const hash = hashOf(deviceCode)
    const now = clock.now()
    const expiresAt = now + AUTHORIZATION_LIFETIME
    const userCode = await database.transact('device-authorizations', async (transaction) => {
      await spendProof(transaction, possession)
      await checkPending(database, source, { now, lifetime: AUTHORIZATION_LIFETIME })
      const code = await this.#unusedCode(transaction)
      transaction.put(AUTHORIZATION, hash, {
        ...{ userCode: code, name, system, requestedFrom, source, expiresAt },
        device: possession.device,
        wireguardKey: toHex(possession.wireguardKey),
        decision: { kind: 'pending' },
      })
      transaction.put(USER_CODE, code, { authorization: hash })
      transaction.put(PENDING, `${source}/${hash}`, {})
      return code
    })
    return { deviceCode, userCode, expiresIn: AUTHORIZATION_LIFETIME, interval: POLL_INTERVAL }
  }

  async #unusedCode(transaction: Transaction): Promise<string> {
    for (;;) {
      const code = drawUserCode(this.#parts.randomBytes)
      if ((await transaction.get(USER_CODE, code)) === undefined) return code
    }
  }

  async poll(deviceCode: string): Promise<PollAnswer> {
    const { database, clock } = this.#parts
    const hash = hashOf(deviceCode)
    const known = await database.get(AUTHORIZATION, hash)
    if (known === undefined) return { kind: 'unknown' }
    if (known.expiresAt <= clock.now()) return { kind: 'expired' }
    if (!this.#pace.isInPace(hash, known.expiresAt)) return { kind: 'too-soon' }
    if (known.decision.kind === 'pending') return { kind: 'pending' }
    if (known.decision.kind === 'requested') {
      return { kind: 'requested', expiresIn: known.expiresAt - clock.now() }
    }
    this.#pace.forget(hash)
    return this.#conclude(hash)
  }

  /** Tells the decision, once. */
  async #conclude(hash: string): Promise<PollAnswer> {
    const { database, clock, randomBytes } = this.#parts
    const token = toBase64url(randomBytes(SECRET_BYTES))
    return database.transact(`device-authorization/${hash}`, async (transaction) => {
      const known = await transaction.get(AUTHORIZATION, hash)
      if (known === undefined) return { kind: 'unknown' }
      transaction.delete(AUTHORIZATION, hash)
      if (known.decision.kind !== 'approved') return { kind: 'denied' }
      const { kind: _, ...lets } = known.decision
      const { device, wireguardKey } = known
      const expiresAt = clock.now() + TOKEN_LIFETIME
      transaction.put(TOKEN, hashOf(token), { ...lets, device, wireguardKey, expiresAt })
      return { kind: 'token', token, expiresIn: TOKEN_LIFETIME }
    })
  }

  async find(typed: string): Promise<PendingDevice | undefined> {
    const { database, clock } = this.#parts
    const [, known] = (await findPending(database, typed, clock.now())) ?? []
    if (known === undefined) return undefined
    const { name, system, requestedFrom, device } = known
    return {
      ...{ userCode: known.userCode, name, system, requestedFrom },
      fingerprint: fingerprintOf(device as DeviceId), // as `start` put it
      expiresAt: seconds(known.expiresAt),
    }
  }

  async approve(
    { transaction, organization }: OrganizationChange,
    typed: string,
    owner: DeviceOwner,
  ): ReturnType<DeviceAuthorizations['approve']> {
    const found = await findPending(transaction, typed, this.#parts.clock.now())
    if (found === undefined) return undefined
    const [hash, known] = found
    stopWaiting(transaction, hash, known)
    const decision = { kind: 'approved', organization, ...owner } as const
    transaction.put(AUTHORIZATION, hash, { ...known, decision })
    const { device, wireguardKey, name, system } = known
    return { device: device as DeviceId, wireguardKey, name, system }
  }

  async deny(typed: string): Promise<boolean> {
    return this.#parts.database.transact('device-authorizations', async (transaction) => {
      const found = await findPending(transaction, typed, this.#parts.clock.now())
      if (found === undefined) return false
      const [hash, known] = found
      stopWaiting(transaction, hash, known)
      transaction.put(AUTHORIZATION, hash, { ...known, decision: { kind: 'denied' } })
      return true
    })
  }

  async organizationOf(token: string): Promise<OrganizationId> {
    const found = await this.#parts.database.get(TOKEN, hashOf(token))
    if (found === undefined) throw tokenRefused('is unknown or has been used')
    return parseOrganizationId(found.organization)
  }

  async spend(
    change: OrganizationChange,
    token: string,
    { device, wireguardKey }: Possession,
  ): Promise<DeviceOwner & { byPerson: true }> {
    const { transaction, organization, now } = change
    const found = await transaction.get(TOKEN, hashOf(token))
    if (found?.organization !== organization) throw tokenRefused('is unknown or has been used')
    if (found.expiresAt <= now) throw tokenRefused('has expired')
    if (found.device !== device || found.wireguardKey !== toHex(wireguardKey)) {
      throw tokenRefused('was given to a device with other keys')
    }
    transaction.delete(TOKEN, hashOf(token))
    return { ...(await ownerNow(change, device)), byPerson: true }
  }

  async forgetExpired(): Promise<void> {
    const { database, clock } = this.#parts
    const now = clock.now()
    const devices = { scope: 'device-authorizations', of: AUTHORIZATION, now }
    await deleteExpired(database, devices, (transaction, id, known) => {
      transaction.delete(AUTHORIZATION, id)
      stopWaiting(transaction, id, known)
      if (known.decision.kind !== 'requested') return
      transaction.delete(REQUESTED, `${known.decision.organization}/${id}`)
    })
    const tokens = { scope: 'enrolment-tokens', of: TOKEN, now }
    await deleteExpired(database, tokens, (transaction, id) => transaction.delete(TOKEN, id))
    this.#pace.forgetExpired(now)
  }
}

/** Of a device that was let in. Throws Refused (token-refused). */
async function ownerNow(change: OrganizationChange, device: DeviceId): Promise<DeviceOwner> {
  const { transaction, organization } = change
  const record = await change.device(device)
  if (record === undefined) throw tokenRefused('was given to a device that has been removed since')
  const { owner, ownerId } = record
  const isOwned =
    ownerId === undefined || (await transaction.get(members, `${organization}/${ownerId}`))
  if (!isOwned) throw tokenRefused(`is for a device of ${owner}, who is no member any more`)
  return { owner, ownerId }
}

function tokenRefused(why: string): Refused {
  return new Refused('token-refused', `the enrolment token ${why} (run nexd up again)`, {
    field: 'token',
  })
}
