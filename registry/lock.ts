/** The lock of an organization (SPEC §4.3), as its registry sees it: who must approve, what was approved. */
import { z } from 'zod'
import { equal, fromBase64, fromHex, toBase64, toHex } from '../crypto/bytes.ts'
import { type EnvelopeOf, openEnvelope } from '../protocol/envelope.ts'
import type { Lock } from '../protocol/issuer-certificate.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import { approversOf } from '../protocol/lock.ts'
import type { DeviceRecord } from './device-record.ts'
import type { Head } from './head.ts'
import type { OrganizationChange } from './organization-change.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

/** By `<organization>/<device>/<approver>`: the newest word of the approver, as signed. */
export const APPROVAL = collection('approval', z.strictObject({ envelope: z.string() }))

type Reader = Pick<Database | Transaction, 'get'>

/** What the issuer certificate in use demands; undefined: nothing. */
export function lockIn({ issuer }: Pick<Head, 'issuer'>): Lock | undefined {
  const envelope = openEnvelope(fromBase64(issuer.certificate))
  return envelope.kind === 'issuer-certificate' ? envelope.body.lock : undefined
}

/** Words of approvers on one device, the newest of each. */
export async function approvalsOf(
  reader: Reader,
  organization: OrganizationId,
  lock: Lock,
  device: DeviceId,
): Promise<readonly EnvelopeOf<'approval'>[]> {
  const found: EnvelopeOf<'approval'>[] = []
  for (const approver of approversOf(lock)) {
    const kept = await reader.get(APPROVAL, `${organization}/${device}/${approver}`)
    const envelope = kept && openEnvelope(fromBase64(kept.envelope))
    if (envelope?.kind === 'approval') found.push(envelope)
  }
  return found
}

/** Does a certificate of the device that begins now count, as far as the lock goes? */
export async function isUnlockedIn(
  reader: Reader,
  organization: OrganizationId,
  lock: Lock | undefined,
  device: DeviceId,
  wireguardKey: string,
): Promise<boolean> {
  if (lock === undefined) return true
  const said = await approvalsOf(reader, organization, lock, device)
  return said.some(
    ({ body }) => body.decision === 'approved' && equal(body.wireguardKey, fromHex(wireguardKey)),
  )
}

/** The device's newest certificate, where it lasts on and another one would only wait for an approver:
 *  what was certified before the lock goes on until it ends. */
export async function certificateThatWaits(
  { transaction, organization, head, now }: OrganizationChange,
  device: DeviceId,
  { wireguardKey, certificate, issued }: DeviceRecord,
  wanted: Uint8Array,
): Promise<Uint8Array | undefined> {
  const lock = lockIn(head)
  if (lock === undefined || certificate === undefined || toHex(wanted) !== wireguardKey) {
    return undefined
  }
  if ((issued.at(-1)?.notAfter ?? 0) <= now + LEAST_LEFT) return undefined
  const isUnlocked = await isUnlockedIn(transaction, organization, lock, device, wireguardKey)
  return isUnlocked ? undefined : fromBase64(certificate)
}
/** Seconds. */
const LEAST_LEFT = 60

/** Every word of the organization's approvers. */
export async function allApprovals(
  database: Pick<Database, 'list'>,
  organization: OrganizationId,
): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = []
  for await (const { value } of database.list(APPROVAL, { under: `${organization}/` })) {
    found.push(fromBase64(value.envelope))
  }
  return found
}

/** Believed words, to be kept. An older one than is kept stays out. */
export async function keepApprovals(
  database: Pick<Database, 'transact'>,
  envelopes: readonly EnvelopeOf<'approval'>[],
): Promise<void> {
  const byOrganization = Map.groupBy(envelopes, ({ organization }) => organization)
  for (const [organization, said] of byOrganization) {
    await database.transact(`approvals/${organization}`, async (transaction) => {
      for (const { body, signer, bytes } of said) {
        const id = `${organization}/${body.device}/${signer}`
        const kept = await transaction.get(APPROVAL, id)
        const known = kept && openEnvelope(fromBase64(kept.envelope))
        if (known?.kind === 'approval' && known.body.sequence >= body.sequence) continue
        transaction.put(APPROVAL, id, { envelope: toBase64(bytes) })
      }
    })
  }
}
