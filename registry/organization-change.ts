/** One change of an organization, inside one transaction: certificates and manifests are made with the
 *  records they follow from, or not at all. */
import { parseAgreementPublicKey } from '../crypto/agreement.ts'
import { fromBase32, fromBase64, fromHex, toBase64, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { RandomBytes } from '../crypto/random.ts'
import { parsePrefix } from '../protocol/address.ts'
import {
  type DeviceId,
  deviceKeyOf,
  type IssuerKeyPair,
  type IssuerPublicKey,
  type OrganizationId,
  parseKey,
} from '../protocol/keys.ts'
import { REVOCATIONS, SERIAL_BYTES } from '../protocol/limits.ts'
import type { Revocation } from '../protocol/manifest.ts'
import type { Policy } from '../protocol/policy.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { addressesOf } from './addresses.ts'
import { DEVICE, type DeviceRecord, deviceRecordId, groupsOf, ownerOf } from './device-record.ts'
import { HEAD, type Head, MANIFEST, manifestIdOf, REVOCATIONS_OF, rangesOf } from './head.ts'
import { namesOfRecord } from './names-record.ts'
import { policyInForce } from './policy-record.ts'
import type { Ranges } from './ranges.ts'
import { Refused } from './refusal.ts'
import { sealCertificate, sealManifest, unlessUnreadable } from './sealing.ts'
import type { Transaction } from './store/database.ts'

/** Certificates of one device in force at once; renewing at half life makes 3. Each may have to be
 *  revoked, and a manifest holds REVOCATIONS. */
export const CERTIFICATES_AT_ONCE = 16

export interface ChangeParts {
  readonly organization: OrganizationId
  readonly transaction: Transaction
  readonly head: Head
  readonly issuer: IssuerKeyPair
  /** Seconds a membership certificate lasts where the organization has no rule of its own. */
  readonly membershipLifetime: Seconds
  readonly now: Seconds
  readonly randomBytes: RandomBytes
}

/** Lives as long as one attempt of the transaction. */
export class OrganizationChange {
  readonly organization: OrganizationId
  readonly transaction: Transaction
  readonly now: Seconds
  /** Made by this change, in order: what is to be told to everybody once it is committed. */
  readonly envelopes: Uint8Array[] = []
  head: Head
  readonly #parts: ChangeParts
  #issuer: IssuerKeyPair

  constructor(parts: ChangeParts) {
    this.organization = parts.organization
    this.transaction = parts.transaction
    this.now = parts.now
    this.head = parts.head
    this.#parts = parts
    this.#issuer = parts.issuer
  }

  ranges(): Ranges {
    return rangesOf(this.organization, this.head)
  }

  async device(id: DeviceId): Promise<DeviceRecord | undefined> {
    return this.transaction.get(DEVICE, deviceRecordId(this.organization, id))
  }

  putDevice(id: DeviceId, record: DeviceRecord): void {
    this.transaction.put(DEVICE, deviceRecordId(this.organization, id), record)
  }

  /** From here on this issuer signs; those before are not listed any more. */
  useIssuer(issuer: IssuerKeyPair, certificate: Head['issuer']): void {
    const { formerIssuers: _, ...head } = this.head
    this.#use(issuer, certificate, head)
  }

  /** The same issuer goes on, with a newer certificate. */
  renewIssuer(certificate: Head['issuer']): void {
    this.#use(this.#issuer, certificate, this.head)
  }

  /** From here on this issuer signs; the one before is listed until the last of its membership
   *  certificates has ended (SPEC §5.6). The manifest is still to be published. */
  async followIssuer(issuer: IssuerKeyPair, certificate: Head['issuer']): Promise<void> {
    const { issuer: former, formerIssuers: known = [] } = this.head
    const records = await this.transaction.list(DEVICE, { under: `${this.organization}/` })
    const ends = records.flatMap(({ value }) => value.issued.map(({ notAfter }) => notAfter))
    const until = Math.min(former.notAfter, Math.max(this.now, ...ends))
    const formerIssuers = [{ ...former, until }, ...known]
    this.#use(issuer, certificate, { ...this.head, formerIssuers })
  }

  #use(issuer: IssuerKeyPair, certificate: Head['issuer'], head: Head): void {
    this.#issuer = issuer
    this.head = { ...head, issuer: certificate }
    this.envelopes.push(fromBase64(certificate.certificate))
  }

  /** Issues a certificate of what the record says and puts the record with it. The newer of two is the
   *  one that begins later, so each begins a second after the last at least.
   *  Throws Refused (issuer-unusable, too-many-certificates, certificate-invalid). */
  certify(id: DeviceId, wanted: DeviceRecord & { readonly number: number }): DeviceRecord {
    const record = { ...wanted, owner: ownerOf(id, wanted) }
    const issued = record.issued.filter(({ notAfter }) => notAfter > this.now)
    if (issued.length >= CERTIFICATES_AT_ONCE) {
      throw new Refused(
        'too-many-certificates',
        `the device has ${issued.length} certificates that have not expired, at most ${CERTIFICATES_AT_ONCE} are issued (renew less often)`,
      )
    }
    const notBefore = seconds(Math.max(this.now, (issued.at(-1)?.notBefore ?? 0) + 1))
    const notAfter = this.#endOf(notBefore, issued)
    const serial = this.#parts.randomBytes(SERIAL_BYTES)
    const envelope = this.#sealMembership(id, record, { serial, notBefore, notAfter })
    this.envelopes.push(envelope)
    const certified = {
      ...record,
      renewedAt: this.now,
      certificate: toBase64(envelope),
      issued: [...issued, { serial: toHex(serial), notBefore, notAfter }],
    }
    this.putDevice(id, certified)
    return certified
  }

  /** Not before what was issued, even where the lifetime has become shorter: once the newest had ended, the
   *  device could show an older one, and what has been taken from it since would be back. Not beyond the
   *  issuer's own end. */
  #endOf(notBefore: Seconds, issued: DeviceRecord['issued']): Seconds {
    const { notAfter } = this.head.issuer
    if (notAfter <= notBefore) {
      throw new Refused(
        'issuer-unusable',
        'the issuer certificate of the organization has expired (its owner can install a new one: nexctl organization root request)',
      )
    }
    const { membershipLifetime = this.#parts.membershipLifetime } = this.head.settings
    const ends = issued.map((each) => each.notAfter)
    return seconds(Math.min(Math.max(notBefore + membershipLifetime, ...ends), notAfter))
  }

  #sealMembership(
    id: DeviceId,
    record: DeviceRecord & { readonly number: number },
    validity: { serial: Uint8Array; notBefore: Seconds; notAfter: Seconds },
  ): Uint8Array {
    return sealCertificate(
      this.organization,
      {
        serial: toHex(validity.serial),
        deviceKey: deviceKeyOf(id),
        wireguardKey: parseAgreementPublicKey(fromHex(record.wireguardKey)),
        name: record.name,
        owner: record.owner,
        addresses: addressesOf(this.ranges(), record.number),
        groups: groupsOf(record),
        prefixes: record.prefixes.map(parsePrefix),
        roles: record.roles,
        notBefore: validity.notBefore,
        notAfter: validity.notAfter,
        manifestSequence: this.head.manifestSequence,
      },
      validity.serial,
      this.#issuer,
    )
  }

  /** Certifies every device that has a certificate anew, but for those of which nobody could read the next one, and
   *  tells the manifest last: until it comes, everybody goes by the old issuer. */
  async certifyAll(): Promise<void> {
    const manifest = this.envelopes.pop()
    const records = await this.transaction.list(DEVICE, { under: `${this.organization}/` })
    for (const { id, value } of records) {
      const { number } = value
      if (number === undefined || value.certificate === undefined) continue
      // Certificates of the old issuer count no more: they need no revocation.
      const device = id.slice(this.organization.length + 1) as DeviceId // written by putDevice
      unlessUnreadable(() => this.certify(device, { ...value, number, issued: [] }))
    }
    if (manifest !== undefined) this.envelopes.push(manifest)
  }

  /** Of certificates that have not ended. */
  async revocations(): Promise<readonly { readonly serial: string; readonly notAfter: number }[]> {
    const known = (await this.transaction.get(REVOCATIONS_OF, this.organization)) ?? []
    return known.filter(({ notAfter }) => notAfter > this.now)
  }

  /** The next manifest, of the head as it is now, with further revocations; ended ones leave.
   *  @param most the list may have after these (revocation-room.ts)
   *  Throws Refused (revocations-full, manifest-invalid). */
  async publishManifest(revoke: readonly Revocation[] = [], most = REVOCATIONS): Promise<void> {
    const known = await this.revocations()
    const named = new Set(known.map(({ serial }) => serial))
    const further = revoke.filter(
      ({ serial, notAfter }) => !named.has(serial) && notAfter > this.now,
    )
    const revocations = [...known, ...further]
    if (further.length > 0 && revocations.length > most)
      throw revocationsFull(revocations.length, most)
    const sequence = this.head.manifestSequence + 1
    const policy = await policyInForce(this.transaction, this.organization)
    const envelope = this.#sealManifest(sequence, revocations, policy)
    this.head = {
      ...this.head,
      manifestSequence: sequence,
      manifestHash: toHex(sha256(envelope)),
    }
    const id = manifestIdOf(this.organization, sequence)
    this.transaction.put(MANIFEST, id, { envelope: toBase64(envelope) })
    this.transaction.put(REVOCATIONS_OF, this.organization, revocations)
    this.envelopes.push(envelope)
  }

  #sealManifest(
    sequence: number,
    revocations: readonly { serial: string; notAfter: number }[],
    policy: Policy,
  ): Uint8Array {
    return sealManifest(
      this.organization,
      {
        sequence,
        previous: fromHex(this.head.manifestHash),
        issuedAt: this.now,
        name: this.head.name,
        ranges: this.ranges(),
        issuers: [this.#issuer.publicKey, ...formerKeys(this.head)],
        rendezvous: this.head.rendezvous,
        policy,
        ...(this.head.names === undefined ? {} : { names: namesOfRecord(this.head.names) }),
      },
      revocations.map(({ serial, notAfter }) => ({
        serial: fromHex(serial),
        notAfter: seconds(notAfter),
      })),
      this.#issuer,
    )
  }

  /** Writes the head, always: it is what orders changes. */
  finish(): void {
    this.head = { ...this.head, revision: this.head.revision + 1 }
    this.transaction.put(HEAD, this.organization, this.head)
  }
}

function revocationsFull(count: number, most: number): Refused {
  const whose = most < REVOCATIONS ? `, ${most} by what members do` : ''
  return new Refused(
    'revocations-full',
    `a manifest lists at most ${REVOCATIONS} revocations${whose}, ${count} certificates have not expired yet (remove fewer devices at once)`,
  )
}

function formerKeys({ formerIssuers = [] }: Head): readonly IssuerPublicKey[] {
  return formerIssuers.map(({ key }) => parseKey<'issuer'>(fromBase32(key), 'former issuer'))
}
