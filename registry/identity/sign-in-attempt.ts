/** A sign-in on its way to the identity provider and back: kept in the browser, authenticated, ten minutes. */
import { z } from 'zod'
import { equal, fromBase64url, fromUtf8, toBase64url, utf8 } from '../../crypto/bytes.ts'
import { hmacSha256 } from '../../crypto/hash.ts'

const attemptSchema = z.object({
  /** Id of the identity provider that is to answer. */
  provider: z.string(),
  state: z.string(),
  nonce: z.string(),
  codeVerifier: z.string(),
  /** A path on this registry. */
  returnTo: z.string(),
  expiresAt: z.number().int(),
})
export type SignInAttempt = z.infer<typeof attemptSchema>

/** Seconds. RFC 6749 §4.1.2 gives a code at most ten minutes. */
export const ATTEMPT_LIFETIME = 600

/** A cookie's value: base64url of JSON, a dot, base64url of its HMAC. */
export function sealAttempt(attempt: SignInAttempt, key: Uint8Array): string {
  const body = toBase64url(utf8(JSON.stringify(attempt)))
  return `${body}.${toBase64url(hmacSha256(key, utf8(body)))}`
}

/** Undefined unless it was sealed with `key` and has not expired. */
export function openAttempt(
  value: string,
  key: Uint8Array,
  now: number,
): SignInAttempt | undefined {
  const [body = '', mac = ''] = value.split('.', 2)
  const expected = toBase64url(hmacSha256(key, utf8(body)))
  if (mac.length !== expected.length || !equal(utf8(mac), utf8(expected))) return undefined
  const attempt = attemptSchema.parse(JSON.parse(fromUtf8(fromBase64url(body))))
  return attempt.expiresAt > now ? attempt : undefined
}

/** The path to go to after sign-in: only ever one of this registry, else `/`. */
export function parseReturnTo(wanted: unknown, publicUrl: string): string {
  if (typeof wanted !== 'string' || wanted.length > 512 || !URL.canParse(wanted, publicUrl))
    return '/'
  const url = new URL(wanted, publicUrl)
  // `/.//host` is a path here, but as a Location it would name another host.
  const isOwn = url.origin === publicUrl && wanted.startsWith('/') && !url.pathname.startsWith('//')
  return isOwn ? url.pathname + url.search : '/'
}
