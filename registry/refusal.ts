/** What the registry's rules may refuse: one error, a stable code each, and HTTP's word for it. */
import { ProblemError, type ProblemOptions } from './problem.ts'

const STATUS = {
  'address-not-free': 409,
  'address-out-of-range': 400,
  'addresses-exhausted': 503,
  'device-invalid': 400,
  'device-removed': 403,
  'issuer-unusable': 503,
  'names-invalid': 400,
  'not-enrolled': 403,
  'organization-unknown': 404,
  'prefix-invalid': 400,
  'proof-invalid': 400,
  'proof-not-fresh': 403,
  'proof-replayed': 409,
  'registration-key-refused': 403,
  'revocations-full': 503,
  'root-key-missing': 503,
  'token-refused': 403,
  'token-scope': 403,
  'too-many-tokens': 409,
  'too-many-certificates': 429,
  'too-many-pending': 429,
  'wireguard-key-taken': 409,
} as const satisfies Readonly<Record<string, number>>

export type RefusalCode = keyof typeof STATUS

/** The registry will not do it; the message says why and, where something can be done, what. */
export class Refused extends ProblemError {
  declare readonly code: RefusalCode

  constructor(code: RefusalCode, detail: string, options: ProblemOptions = {}) {
    super(STATUS[code], code, detail, options)
  }
}
