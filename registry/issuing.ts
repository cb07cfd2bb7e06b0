/** Issuing: the organizations' keys, and the one way to change an organization. */
import { fromBase64 } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import { generateSigningKeyPair } from '../crypto/signing.ts'
import type { Clock } from '../protocol/clock.ts'
import {
  type DeviceId,
  type IssuerKeyPair,
  type OrganizationId,
  organizationIdOf,
  parseOrganizationId,
} from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { DEVICE } from './device-record.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD, type Head, MANIFEST, manifestIdOf, rendezvousRecord } from './head.ts'
import { makeIssuerCertificate } from './issuer.ts'
import { type KeyStore, openKeyStore } from './key-store.ts'
import { allApprovals, approvalsOf, lockIn } from './lock.ts'
import { OrganizationChange } from './organization-change.ts'
import { parseRanges, type WantedRanges } from './ranges.ts'
import { Refused } from './refusal.ts'
import type { Database, Transaction } from './store/database.ts'

export interface IssuingSettings {
  /** How long a membership certificate lasts; agents renew at half of it. */
  readonly membershipLifetime: Seconds
  /** Addresses an organization may give out, as far as its ranges reach. */
  readonly addresses: number
}

const DEFAULTS: IssuingSettings = {
  membershipLifetime: seconds(86_400),
  addresses: Number.MAX_SAFE_INTEGER,
}

export interface IssuingParts {
  readonly database: Database
  readonly stateDirectory: string
  /** Absent: files of the state directory. */
  readonly keys?: KeyStore
  readonly settings?: Partial<IssuingSettings>
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

/** What a change made known; those that vouch for others come first. */
export interface Issued {
  readonly organization: OrganizationId
  readonly envelopes: readonly Uint8Array[]
}

export interface Issuing {
  readonly settings: IssuingSettings
  readonly keys: KeyStore
  /** A new organization: its keys on disk, its head record and its first manifest. `also` puts
   *  further records in the same transaction. Throws Refused (range-invalid). */
  found(
    name: string,
    also?: (transaction: Transaction, organization: OrganizationId) => Promise<void>,
    ranges?: WantedRanges,
  ): Promise<OrganizationId>
  /** Every mutation of an organization that is not deleted. `body` may run more than once and must act on `change` only.
   *  Resolves when durable. Throws what `body` throws, or Refused (organization-unknown). */
  change<R>(
    organization: OrganizationId,
    body: (change: OrganizationChange) => Promise<R>,
  ): Promise<R>
  /** Deleted ones too, until their last certificate has ended. */
  organizations(): Promise<readonly OrganizationId[]>
  /** Throws Refused (organization-unknown) or KeyFileError. */
  issuerKey(organization: OrganizationId): Promise<IssuerKeyPair>
  /** Issuer certificates and manifest in force: what a device needs beside its own certificate. */
  foundation(organization: OrganizationId): Promise<readonly Uint8Array[]>
  /** The foundation, and what approvers said of the device. */
  foundationFor(organization: OrganizationId, device: DeviceId): Promise<readonly Uint8Array[]>
  /** The foundation, approvals, and every device's newest certificate. */
  envelopes(organization: OrganizationId): Promise<readonly Uint8Array[]>
  /** Where devices meet, from now on, in every organization: a new manifest where it differs. False: not in every
   *  one, and it may be tried again. */
  setRendezvous(rendezvous: readonly Rendezvous[]): Promise<boolean>
  /** Calls back after each durable change that made envelopes; the change resolves after that. */
  onIssued(listener: (issued: Issued) => Promise<void> | void): { cancel(): void }
  /** Calls those back: another registry of the store has issued it. */
  announce(issued: Issued): Promise<void>
}

export async function openIssuing(parts: IssuingParts): Promise<Issuing> {
  return new StoredIssuing(parts, parts.keys ?? (await openKeyStore(parts.stateDirectory)))
}

class StoredIssuing implements Issuing {
  readonly settings: IssuingSettings
  readonly keys: KeyStore
  readonly #parts: IssuingParts

  /** By the base32 of their public keys. */
  readonly #issuers = new Map<string, IssuerKeyPair>()
  readonly #listeners = new Set<(issued: Issued) => Promise<void> | void>()
  #rendezvous: readonly Rendezvous[] = []

  constructor(parts: IssuingParts, keys: KeyStore) {
    this.#parts = parts
    this.keys = keys
    this.settings = { ...DEFAULTS, ...parts.settings }
  }

  async found(
    name: string,
    also: (
      transaction: Transaction,
      organization: OrganizationId,
    ) => Promise<void> = async () => {},
    wanted: WantedRanges = {},
  ): Promise<OrganizationId> {
    const root = generateSigningKeyPair<'root'>()
    const issuer = generateSigningKeyPair<'issuer'>()
    const organization = organizationIdOf(root.publicKey)
    const ranges = parseRanges(organization, wanted)
    // Keys first: an organization without its keys would be lost, keys without one are only files.
    await this.keys.saveRoot(organization, root)
    await this.keys.saveNextIssuer(organization, issuer)
    const now = this.#parts.clock.now()
    const head: Head = {
      name,
      revision: 0,
      manifestSequence: 0,
      manifestHash: '',
      lastNumber: 0,
      issuer: makeIssuerCertificate(organization, root, { key: issuer.publicKey, ranges }, now),
      rendezvous: rendezvousRecord(this.#rendezvous),
      ranges: [...ranges],
      settings: { approvalRequired: false },
    }
    await this.#transact(organization, async (transaction) => {
      const change = this.#changeOf(organization, transaction, head, issuer)
      change.useIssuer(issuer, head.issuer)
      await change.publishManifest()
      await also(transaction, organization)
      return change
    })
    await this.keys.issuer(organization, head.issuer.key) // puts it in its place
    this.#parts.log('info', 'organization.founded', { organization, name })
    return organization
  }

  async change<R>(
    organization: OrganizationId,
    body: (change: OrganizationChange) => Promise<R>,
  ): Promise<R> {
    const results: R[] = []
    await this.#transact(organization, async (transaction) => {
      const head = await transaction.get(HEAD, organization)
      if (head === undefined || head.deletedAt !== undefined) {
        throw unknownOrganization(organization)
      }
      const issuer = await this.#keyOf(organization, head)
      const change = this.#changeOf(organization, transaction, head, issuer)
      results[0] = await body(change)
      return change
    })
    const [result] = results
    return result as R // the body has run
  }

  #changeOf(
    organization: OrganizationId,
    transaction: Transaction,
    head: Head,
    issuer: IssuerKeyPair,
  ): OrganizationChange {
    const { clock, randomBytes } = this.#parts
    return new OrganizationChange({
      organization,
      transaction,
      head,
      issuer,
      membershipLifetime: this.settings.membershipLifetime,
      now: clock.now(),
      randomBytes,
    })
  }

  async #transact(
    organization: OrganizationId,
    body: (transaction: Transaction) => Promise<OrganizationChange>,
  ): Promise<void> {
    const envelopes = await this.#parts.database.transact(organization, async (transaction) => {
      const change = await body(transaction)
      change.finish()
      return change.envelopes
    })
    if (envelopes.length === 0) return
    await this.announce({ organization, envelopes })
  }

  async announce(issued: Issued): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener(issued)))
  }

  async organizations(): Promise<readonly OrganizationId[]> {
    const found: OrganizationId[] = []
    for await (const { id } of this.#parts.database.list(HEAD)) found.push(parseOrganizationId(id))
    return found
  }

  async issuerKey(organization: OrganizationId): Promise<IssuerKeyPair> {
    return this.#keyOf(organization, await this.#head(organization))
  }

  async #keyOf(organization: OrganizationId, { issuer }: Head): Promise<IssuerKeyPair> {
    const known = this.#issuers.get(issuer.key)
    if (known !== undefined) return known
    const pair = await this.keys.issuer(organization, issuer.key)
    if (pair === undefined) {
      const path = this.keys.issuerPath(organization)
      throw new Refused(
        'issuer-unusable',
        `${path} does not hold the issuer key of organization ${organization} (restore it from a backup)`,
      )
    }
    this.#issuers.set(issuer.key, pair)
    return pair
  }

  async #head(organization: OrganizationId): Promise<Head> {
    const head = await this.#parts.database.get(HEAD, organization)
    if (head === undefined) throw unknownOrganization(organization)
    return head
  }

  async foundation(organization: OrganizationId): Promise<readonly Uint8Array[]> {
    const head = await this.#head(organization)
    const id = manifestIdOf(organization, head.manifestSequence)
    const manifest = await this.#parts.database.get(MANIFEST, id)
    if (manifest === undefined) throw new Error(`no manifest ${id}: the store is corrupt`)
    const issuers = [head.issuer, ...(head.formerIssuers ?? [])]
    return [
      ...issuers.map(({ certificate }) => fromBase64(certificate)),
      fromBase64(manifest.envelope),
    ]
  }

  async foundationFor(organization: OrganizationId, device: DeviceId) {
    const lock = lockIn(await this.#head(organization))
    const { database } = this.#parts
    const said = lock === undefined ? [] : await approvalsOf(database, organization, lock, device)
    return [
      ...(await this.foundation(organization)),
      ...said.map(({ envelope }) => fromBase64(envelope)),
    ]
  }

  async envelopes(organization: OrganizationId): Promise<readonly Uint8Array[]> {
    const approvals = await allApprovals(this.#parts.database, organization)
    const envelopes = [...(await this.foundation(organization)), ...approvals]
    const devices = this.#parts.database.list(DEVICE, { under: `${organization}/` })
    for await (const { value } of devices) {
      if (value.certificate !== undefined) envelopes.push(fromBase64(value.certificate))
    }
    return envelopes
  }

  async setRendezvous(rendezvous: readonly Rendezvous[]): Promise<boolean> {
    this.#rendezvous = rendezvous
    const wanted = rendezvousRecord(rendezvous)
    const { log } = this.#parts
    const failed = await eachOrganization(
      { issuing: this, log },
      'rendezvous',
      async (organization) => {
        const { rendezvous: known, deletedAt } = await this.#head(organization)
        const isSame = JSON.stringify(known) === JSON.stringify(wanted)
        if (isSame || deletedAt !== undefined) return
        await this.change(organization, async (change) => {
          // Another registry may have been first.
          if (JSON.stringify(change.head.rendezvous) === JSON.stringify(wanted)) return
          change.head = { ...change.head, rendezvous: wanted }
          await change.publishManifest()
        })
      },
    )
    return failed === 0
  }

  onIssued(listener: (issued: Issued) => Promise<void> | void): { cancel(): void } {
    this.#listeners.add(listener)
    return { cancel: () => void this.#listeners.delete(listener) }
  }
}

function unknownOrganization(organization: string): Refused {
  return new Refused('organization-unknown', `this registry has no organization ${organization}`)
}
