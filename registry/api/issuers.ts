/** Routes of an organization's issuer, and of the custody of its root key. */
import { z } from 'zod'
import { deviceIdOf, type OrganizationId } from '../../protocol/keys.ts'
import { APPROVERS, ENVELOPE_BYTES } from '../../protocol/limits.ts'
import { DEVICE, deviceRecordId } from '../device-record.ts'
import { HEAD } from '../head.ts'
import { issuerExpiry } from '../issuer-expiry.ts'
import { installIssuer, requestIssuer } from '../issuer-installation.ts'
import { ISSUER_CHANGES, type IssuerRenewalParts, rotateIssuer } from '../issuer-renewal.ts'
import { lockIn } from '../lock.ts'
import { ProblemError } from '../problem.ts'
import { Refused } from '../refusal.ts'
import type { RootCustody } from '../root-custody.ts'
import { ANY_MEMBER, OWNERS } from './access.ts'
import { MOMENT } from './fields.ts'
import { memberRoute, type Route } from './route.ts'

export interface IssuerApiParts extends IssuerRenewalParts {
  readonly custody: RootCustody
}

type Parts = IssuerApiParts

const ONE = '/organizations/:organization'
/** Characters of base64. */
const KEY = z.string().length(44)
const ENVELOPE = z
  .string()
  .min(1)
  .max(Math.ceil(ENVELOPE_BYTES / 3) * 4)
const DEVICE_ID = z.string().length(52)
const HOW = z.enum(ISSUER_CHANGES).default('overlap')

const ISSUER = z.object({ key: z.string(), notBefore: MOMENT, notAfter: MOMENT })
const STATUS = ISSUER.extend({
  /** `here`: the registry renews the certificate by itself. */
  root: z.enum(['here', 'elsewhere']),
  /** Listed until what they have signed has ended. */
  former: z.array(z.object({ key: z.string(), until: MOMENT })).readonly(),
  lock: z
    .object({
      since: MOMENT,
      approvers: z.array(z.object({ device: z.string(), name: z.string().optional() })).readonly(),
    })
    .optional(),
  /** Days until the certificate ends, where nothing here renews it and it is soon. */
  endsInDays: z.int().optional(),
})

async function statusOf(parts: Parts, organization: OrganizationId) {
  const { database, issuing } = parts
  const head = await database.get(HEAD, organization)
  if (head === undefined) throw new Refused('organization-unknown', 'no such organization')
  const [lock, expiry] = [lockIn(head), await issuerExpiry(parts, organization)]
  const { key, notBefore, notAfter } = head.issuer
  const approvers = []
  for (const device of lock?.approvers.map(deviceIdOf) ?? []) {
    const { name } = (await database.get(DEVICE, deviceRecordId(organization, device))) ?? {}
    approvers.push({ device, ...(name !== undefined && { name }) })
  }
  const isHere = (await issuing.keys.root(organization)) !== undefined
  return {
    ...{ key, notBefore, notAfter },
    root: isHere ? ('here' as const) : ('elsewhere' as const),
    former: (head.formerIssuers ?? []).map(({ key: former, until }) => ({ key: former, until })),
    ...(lock !== undefined && { lock: { since: lock.since, approvers } }),
    ...(expiry !== undefined && { endsInDays: expiry.daysLeft }),
  }
}

/** A browser session is not enough for the root key: a token with the scope was approved for just this. */
function requireToken({ token }: { readonly token?: unknown }): void {
  if (token !== undefined) return
  throw new ProblemError(
    403,
    'token-needed',
    'the root key takes a token with the scope "root" (nexctl organization root …), a session is not enough',
  )
}

/** An answer that may be repeated is kept for a day: the root key must not be. */
function refuseRepetition(header: (name: string) => string | undefined): void {
  if (header('idempotency-key') === undefined) return
  throw new ProblemError(400, 'idempotency-refused', 'the root key is not kept for a repetition', {
    field: 'Idempotency-Key',
  })
}

export const ISSUER_ROUTES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: `${ONE}/issuer`,
    operation: 'getIssuer',
    summary: 'Who signs for the organization, until when, and who must approve members',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: STATUS,
    handle: (parts: Parts, { organization }) => statusOf(parts, organization),
  }),
  memberRoute({
    method: 'POST',
    path: `${ONE}/issuer/requests`,
    operation: 'requestIssuer',
    summary: 'The text that the root key is to sign: a newer certificate, or another issuer',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({
      rotate: z.boolean().default(false),
      /** Who must approve members; empty: nobody; absent: as it is. */
      approvers: z.array(DEVICE_ID).max(APPROVERS).readonly().optional(),
    }),
    answer: z.object({ request: z.string() }),
    handle: async (parts: Parts, { organization, body }) => ({
      request: await requestIssuer(parts, organization, body),
    }),
  }),
  memberRoute({
    method: 'POST',
    path: `${ONE}/issuer/certificates`,
    operation: 'installIssuer',
    summary: 'Takes an issuer certificate that the root key has signed',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({ certificate: ENVELOPE, how: HOW }),
    answer: STATUS,
    handle: async (parts: Parts, { organization, body, act }) => {
      await installIssuer(parts, organization, body, act)
      return statusOf(parts, organization)
    },
  }),
  memberRoute({
    method: 'POST',
    path: `${ONE}/issuer/rotations`,
    operation: 'rotateIssuer',
    summary: 'Another issuer, by the root key that is here',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({ how: HOW }),
    answer: STATUS,
    handle: async (parts: Parts, { organization, body, act }) => {
      await rotateIssuer(parts, organization, body.how, act)
      return statusOf(parts, organization)
    },
  }),
  memberRoute({
    method: 'POST',
    path: `${ONE}/root/export`,
    operation: 'exportRoot',
    summary: 'The root key, for its owner to keep; it stays here until it is told to be forgotten',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({}),
    answer: z.object({ key: KEY }),
    handle: async ({ custody }: Parts, { organization, act, caller, header }) => {
      requireToken(caller)
      refuseRepetition(header)
      return { key: await custody.export(organization, act) }
    },
  }),
  memberRoute({
    method: 'POST',
    path: `${ONE}/root/forget`,
    operation: 'forgetRoot',
    summary: 'Deletes the root key here, on a proof signed with it',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({ proof: ENVELOPE }),
    handle: ({ custody }: Parts, { organization, body, act, caller }) => {
      requireToken(caller)
      return custody.forget(organization, body.proof, act)
    },
  }),
  memberRoute({
    method: 'PUT',
    path: `${ONE}/root`,
    operation: 'importRoot',
    summary: 'Puts the root key back',
    scope: 'root',
    roles: OWNERS,
    body: z.strictObject({ key: KEY }),
    handle: ({ custody }: Parts, { organization, body, act, caller }) => {
      requireToken(caller)
      return custody.import(organization, body.key, act)
    },
  }),
]
