/** Passwords of people: stored as scrypt hashes (RFC 7914). */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

/** 32 MiB and three passes: OWASP Password Storage Cheat Sheet, "scrypt". */
const LOG2_COST = 15
const BLOCK_SIZE = 8
const PARALLELIZATION = 3
export const SALT_BYTES = 16
const HASH_BYTES = 32

/** `scrypt$<log2 N>$<r>$<p>$<salt>$<hash>`, base64url, under a new salt. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, LOG2_COST, BLOCK_SIZE, PARALLELIZATION)
  const parameters = `${LOG2_COST}$${BLOCK_SIZE}$${PARALLELIZATION}`
  return `scrypt$${parameters}$${salt.toString('base64url')}$${hash.toString('base64url')}`
}

/** In constant time for one hash. Throws a plain Error for what `hashPassword` did not make. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const match = /^scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([\w-]{22})\$([\w-]{43})$/.exec(hash)
  if (match === null) throw new Error('not a password hash of this registry')
  const [log2Cost = 0, blockSize = 0, parallelization = 0] = match.slice(1, 4).map(Number)
  const salt = Buffer.from(match[4] ?? '', 'base64url')
  const expected = Buffer.from(match[5] ?? '', 'base64url')
  const actual = await derive(password, salt, log2Cost, blockSize, parallelization)
  return timingSafeEqual(actual, expected)
}

/** A key of 32 bytes from a password, at today's cost. */
export async function stretch(password: string, salt: Uint8Array): Promise<Uint8Array> {
  return Uint8Array.from(await derive(password, salt, LOG2_COST, BLOCK_SIZE, PARALLELIZATION))
}

/** Unicode NFC first, so that one password typed on two systems is one password. */
function derive(
  password: string,
  salt: Uint8Array,
  log2Cost: number,
  blockSize: number,
  parallelization: number,
): Promise<Buffer> {
  const N = 2 ** log2Cost
  const options = { N, r: blockSize, p: parallelization, maxmem: 2 * 128 * N * blockSize }
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, HASH_BYTES, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}
