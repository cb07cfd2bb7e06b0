/** The lock of an organization (SPEC §4.3), as its registry sees it: who must approve, what was approved. */
import { z } from 'zod'
import { fromBase64, toBase64, toHex } from '../crypto/bytes.ts'
import { APPROVAL_DECISIONS } from '../protocol/approval.ts'
import { type EnvelopeOf, openEnvelope } from '../protocol/envelope.ts'
import type { Lock } from '../protocol/issuer-certificate.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import { approversOf } from '../protocol/lock.ts'
import { DEVICE, type DeviceRecord } from './device-record.ts'
import { HEAD, type Head } from './head.ts'
import type { OrganizationChange } from './organization-change.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

/** By `<organization>/<device>/<approver>`: the newest word of the approver, as signed, and what it says. */
export const APPROVAL = collection(
  'approval',
  z.strictObject({
    envelope: z.string(),
    sequence: z.int(),
    decision: z.enum(APPROVAL_DECISIONS),
    /** Hex. */
    wireguardKey: z.string(),
  }),
)

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
): Promise<readonly z.output<typeof APPROVAL.schema>[]> {
  const found = approversOf(lock).map((approver) =>
    reader.get(APPROVAL, `${organization}/${device}/${approver}`),
  )
  return (await Promise.all(found)).filter((each) => each !== undefined)
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
  return said.some((each) => each.decision === 'approved' && each.wireguardKey === wireguardKey)
}

/** Devices with a certificate that no approver of the lock has approved, whether it still counts or not. */
export async function devicesThatWait(
  database: Pick<Database, 'get' | 'list'>,
  organization: OrganizationId,
): Promise<ReadonlySet<string>> {
  const head = await database.get(HEAD, organization)
  const lock = head && lockIn(head)
  const waiting = new Set<string>()
  if (lock === undefined) return waiting
  for await (const { id, value } of database.list(DEVICE, { under: `${organization}/` })) {
    if (value.certificate === undefined) continue
    const device = id.slice(organization.length + 1) as DeviceId // as putDevice wrote it
    if (await isUnlockedIn(database, organization, lock, device, value.wireguardKey)) continue
    waiting.add(device)
  }
  return waiting
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
        const { sequence, decision, device } = body
        const id = `${organization}/${device}/${signer}`
        if (((await transaction.get(APPROVAL, id))?.sequence ?? 0) >= sequence) continue
        const wireguardKey = toHex(body.wireguardKey)
        const envelope = toBase64(bytes)
        transaction.put(APPROVAL, id, { envelope, sequence, decision, wireguardKey })
      }
    })
  }
}
