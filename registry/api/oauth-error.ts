/** Errors of the token endpoint, in the words OAuth clients know (RFC 6749 §5.2, RFC 8628 §3.5). */
import { ProblemError } from '../problem.ts'

export type OauthCode =
  | 'authorization_pending'
  | 'slow_down'
  | 'expired_token'
  | 'access_denied'
  | 'invalid_grant'
  | 'invalid_request'

export class OauthError extends ProblemError {
  declare readonly code: OauthCode

  constructor(code: OauthCode, detail: string) {
    super(400, code, detail)
  }
}
