/** Records of device authorization: what waits for a person, and the tokens that came of it. */
import { z } from 'zod'
import { toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'

/** By hash of the device code. */
export const AUTHORIZATION = collection(
  'device-authorization',
  z.strictObject({
    userCode: z.string(),
    device: z.string(),
    wireguardKey: z.string(),
    name: z.string(),
    system: z.string(),
    requestedFrom: z.string(),
    source: z.string(),
    expiresAt: z.int(),
    decision: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('pending') }),
      z.strictObject({ kind: z.literal('denied') }),
      z.strictObject({
        kind: z.literal('approved'),
        organization: z.string(),
        owner: z.string(),
      }),
    ]),
  }),
)
export type Authorization = z.output<typeof AUTHORIZATION.schema>
/** User code → hash of the device code, while it is pending. */
export const USER_CODE = collection('user-code', z.strictObject({ authorization: z.string() }))
/** `<source>/<hash>`, while it is pending. */
export const PENDING = collection('pending-device', z.strictObject({}))
/** By hash. */
export const TOKEN = collection(
  'enrolment-token',
  z.strictObject({
    organization: z.string(),
    device: z.string(),
    wireguardKey: z.string(),
    owner: z.string(),
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
  { userCode, source }: Authorization,
): void {
  transaction.delete(USER_CODE, userCode)
  transaction.delete(PENDING, `${source}/${hash}`)
}
