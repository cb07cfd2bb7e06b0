/** What the registry's rules may refuse: one error, a stable code each, and HTTP's word for it. */
import { ProblemError, type ProblemOptions } from './problem.ts'

const STATUS = {
  'address-not-free': 409,
  'address-out-of-range': 400,
  'addresses-exhausted': 503,
  'approval-needed': 403,
  'certificate-invalid': 400,
  'device-invalid': 400,
  'device-removed': 403,
  'device-unknown': 404,
  'invitation-over': 410,
  'invitation-unknown': 404,
  'issuer-unusable': 503,
  'names-invalid': 400,
  'last-admin': 409,
  'last-owner': 409,
  'manifest-invalid': 409,
  'member-unknown': 404,
  'metadata-invalid': 400,
  'not-enrolled': 403,
  'organization-invalid': 400,
  'organization-name-taken': 409,
  'organization-not-empty': 409,
  'organization-unknown': 404,
  'owner-removed': 403,
  'policy-conflict': 409,
  'policy-invalid': 400,
  'policy-test-failed': 422,
  'prefix-invalid': 400,
  'proof-invalid': 400,
  'proof-not-fresh': 403,
  'proof-replayed': 409,
  'range-invalid': 400,
  'registration-key-refused': 403,
  'revocations-full': 503,
  'role-needed': 403,
  'issuer-certificate-invalid': 400,
  'root-key-here': 409,
  'root-key-invalid': 400,
  'root-key-missing': 503,
  'settings-invalid': 400,
  'sign-in-needed': 403,
  'token-refused': 403,
  'token-scope': 403,
  'too-many-tokens': 409,
  'too-many-certificates': 429,
  'too-many-issuers': 409,
  'too-many-invitations': 409,
  'too-many-members': 409,
  'too-many-organizations': 409,
  'too-many-pending': 429,
  'too-many-registration-keys': 409,
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
