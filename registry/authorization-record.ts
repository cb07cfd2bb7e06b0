/** Records of device authorization: what waits for a person, and the tokens that came of it. */
import { z } from 'zod'
import { toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { SCOPES } from '../protocol/scopes.ts'
import type { Seconds } from '../protocol/time.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'
import { readUserCode } from './user-code.ts'

const OWNER = {
  /** As certificates show it. */
  owner: z.string(),
  /** Absent in records of before there were several users to an organization. */
  ownerId: z.string().optional(),
}

/** Of whoever waits for a person, until it expires. */
const WAITING = {
  userCode: z.string(),
  requestedFrom: z.string(),
  source: z.string(),
  expiresAt: z.int(),
}
const UNDECIDED = [
  z.strictObject({ kind: z.literal('pending') }),
  z.strictObject({ kind: z.literal('denied') }),
] as const

/** Of a device; by hash of the device code. */
export const AUTHORIZATION = collection(
  'device-authorization',
  z.strictObject({
    ...WAITING,
    device: z.string(),
    wireguardKey: z.string(),
    name: z.string(),
    system: z.string(),
    decision: z.discriminatedUnion('kind', [
      ...UNDECIDED,
      /** A member lets it in, and an admin of the organization has to agree. */
      z.strictObject({ kind: z.literal('requested'), organization: z.string(), ...OWNER }),
      z.strictObject({ kind: z.literal('approved'), organization: z.string(), ...OWNER }),
    ]),
  }),
)
export type Authorization = z.output<typeof AUTHORIZATION.schema>
/** Of a program; by hash of the device code. */
export const LOGIN = collection(
  'login-authorization',
  z.strictObject({
    ...WAITING,
    client: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    lifetime: z.int(),
    decision: z.discriminatedUnion('kind', [
      ...UNDECIDED,
      z.strictObject({ kind: z.literal('approved'), user: z.string(), name: z.string() }),
    ]),
  }),
)
export type Login = z.output<typeof LOGIN.schema>
/** User code → hash of the device code, while it is pending. */
export const USER_CODE = collection('user-code', z.strictObject({ authorization: z.string() }))
/** `<source>/<hash>`, until it is decided, or has expired and is forgotten. */
export const PENDING = collection('pending-device', z.strictObject({}))
/** `<organization>/<hash of the device code>`, while an admin has to agree. */
export const REQUESTED = collection('requested-device', z.strictObject({}))
/** By hash. */
export const TOKEN = collection(
  'enrolment-token',
  z.strictObject({
    organization: z.string(),
    device: z.string(),
    wireguardKey: z.string(),
    ...OWNER,
    expiresAt: z.int(),
  }),
)

/** Hex. Secrets of 256 bits are kept as this and nothing else. */
export function hashOf(secret: string): string {
  return toHex(sha256(utf8(secret)))
}

/** Ends the waiting: the code is void, and the place among those that wait is free. */
export function stopWaiting(
  transaction: Transaction,
  hash: string,
  { userCode, source }: Pick<Authorization | Login, 'userCode' | 'source'>,
): void {
  transaction.delete(USER_CODE, userCode)
  transaction.delete(PENDING, `${source}/${hash}`)
}

/** What waits under a code as typed, with the hash of its device code. Undefined: unknown, expired or decided. */
export async function findPending(
  transaction: Pick<Transaction, 'get'>,
  typed: string,
  now: Seconds,
): Promise<[string, Authorization] | undefined> {
  const userCode = readUserCode(typed)
  const found = userCode && (await transaction.get(USER_CODE, userCode))
  const known = found && (await transaction.get(AUTHORIZATION, found.authorization))
  if (!found || !known || known.expiresAt <= now) return undefined
  return [found.authorization, known]
}
