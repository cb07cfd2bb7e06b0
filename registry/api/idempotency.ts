/** Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a POST that a client repeats with its
 *  key is done once. The key is claimed in the transaction of the change itself; the answer is kept for a
 *  day, sealed with the key, so that who reads the store finds no secret in it. */
import { z } from 'zod'
import { NONCE_BYTES, open, seal, sealingKey } from '../../crypto/aead.ts'
import { fromBase64, fromUtf8, toBase64, toHex, utf8 } from '../../crypto/bytes.ts'
import { hkdfSha256, sha256 } from '../../crypto/hash.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Act } from '../act.ts'
import type { UserId } from '../organizations.ts'
import { ProblemError } from '../problem.ts'
import { collection } from '../store/collection.ts'
import type { Database, Transaction } from '../store/database.ts'

/** Seconds that a key stands for its request. */
const LIFETIME = 86_400

/** By `<UserId>/<hash of the key>`. */
const CLAIM = collection(
  'idempotency',
  z.strictObject({
    /** Hex of the SHA-256 of method, path, query and body. */
    fingerprint: z.string(),
    requestId: z.string(),
    expiresAt: z.int(),
    /** Absent until it has been answered. */
    answer: z.strictObject({ status: z.int(), sealed: z.string() }).optional(),
  }),
)
type Claim = z.output<typeof CLAIM.schema>

export interface KeptAnswer {
  readonly status: number
  readonly value: unknown
}

/** A request that came with a key. */
export interface KeyedRequest {
  readonly user: UserId
  readonly key: string
  /** All that makes it this request and no other. */
  readonly said: readonly unknown[]
}

type Parts = { readonly database: Database; readonly clock: Pick<Clock, 'now'> }

/** The key as a client may send it: printable, and hard to guess, for it also keeps the answer.
 *  Throws a 400 problem. */
export function parseIdempotencyKey(text: string): string {
  if (/^[!-~]{16,128}$/.test(text)) return text
  throw new ProblemError(
    400,
    'idempotency-key-invalid',
    'Idempotency-Key: want 16 to 128 printable characters, such as a UUID',
    { field: 'Idempotency-Key' },
  )
}

/** Does what `serve` does, or answers as it did the first time. `serve` must change something by the act
 *  it is given (through `audit`), and nothing else. Throws a 422 problem where the key came with another
 *  request, and a 409 problem while the first is still at work. */
export async function once(
  parts: Parts,
  request: KeyedRequest,
  act: Act,
  serve: (act: Act) => Promise<KeptAnswer>,
): Promise<KeptAnswer> {
  const { database, clock } = parts
  const id = `${request.user}/${toHex(sha256(utf8(request.key)))}`
  const known = await database.get(CLAIM, id)
  if (known !== undefined && known.expiresAt > clock.now()) return repeated(known, request)
  const mine = {
    fingerprint: fingerprintOf(request),
    requestId: act.requestId ?? '',
    expiresAt: clock.now() + LIFETIME,
  }
  const claim = (transaction: Transaction) => claimIn(transaction, id, mine, clock)
  const done = await serve({ ...act, claim }).catch((error: unknown) => {
    if (error instanceof ClaimedMeanwhile) return repeated(error.known, request)
    throw error
  })
  await database.transact(`idempotency/${id}`, async (transaction) => {
    const current = await transaction.get(CLAIM, id)
    if (current?.requestId !== mine.requestId) return
    const answer = { status: done.status, sealed: sealed(request, mine.requestId, done.value) }
    transaction.put(CLAIM, id, { ...current, answer })
  })
  return done
}

/** Another request with the same key came first. */
class ClaimedMeanwhile extends Error {
  readonly known: Claim

  constructor(known: Claim) {
    super('the idempotency key is claimed')
    this.known = known
  }
}

/** A transaction may claim more than once, for each thing that it changes. */
async function claimIn(
  transaction: Transaction,
  id: string,
  mine: Claim,
  clock: Pick<Clock, 'now'>,
): Promise<void> {
  const known = await transaction.get(CLAIM, id)
  const isOther = known !== undefined && known.requestId !== mine.requestId
  if (isOther && known.expiresAt > clock.now()) throw new ClaimedMeanwhile(known)
  transaction.put(CLAIM, id, mine)
}

function repeated(known: Claim, request: KeyedRequest): KeptAnswer {
  if (known.fingerprint !== fingerprintOf(request)) {
    throw new ProblemError(
      422,
      'idempotency-key-reused',
      'Idempotency-Key: was sent with another request before (use a new key for a new request)',
      { field: 'Idempotency-Key' },
    )
  }
  const { answer } = known
  if (answer === undefined) {
    throw new ProblemError(
      409,
      'idempotency-in-progress',
      'the first request with this key was done and has not been answered yet (ask again; if it stays so, its answer was lost: look what is there)',
    )
  }
  return { status: answer.status, value: opened(request, known.requestId, answer.sealed) }
}

function fingerprintOf({ said }: KeyedRequest): string {
  return toHex(sha256(utf8(JSON.stringify(said))))
}

/** A sealing key seals one answer, for a request id is never drawn twice: so the nonce may be fixed. */
const NONCE = new Uint8Array(NONCE_BYTES)

function keyFor({ user, key }: KeyedRequest, requestId: string) {
  const salt = utf8(`${user}/${requestId}`)
  return sealingKey(hkdfSha256(utf8(key), salt, utf8('nexodus idempotent answer'), 32))
}

function sealed(request: KeyedRequest, requestId: string, value: unknown): string {
  return toBase64(seal(keyFor(request, requestId), NONCE, utf8(JSON.stringify(value ?? null))))
}

function opened(request: KeyedRequest, requestId: string, text: string): unknown {
  const plain = open(keyFor(request, requestId), NONCE, fromBase64(text))
  if (plain === undefined) throw new Error('a kept answer does not open: the store is corrupt')
  return JSON.parse(fromUtf8(plain))
}

/** Removes what has expired. */
export async function forgetClaims({ database, clock }: Parts): Promise<void> {
  const now = clock.now()
  for await (const { id, value } of database.list(CLAIM)) {
    if (value.expiresAt > now) continue
    await database.transact(`idempotency/${id}`, async (transaction) => {
      const known = await transaction.get(CLAIM, id)
      if (known !== undefined && known.expiresAt <= now) transaction.delete(CLAIM, id)
    })
  }
}
