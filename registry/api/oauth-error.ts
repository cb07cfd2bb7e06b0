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

  /** Seconds from now that the client may go on asking, where it is not what it was told before. */
  readonly expiresIn: number | undefined

  constructor(code: OauthCode, detail: string, expiresIn?: number) {
    super(400, code, detail)
    this.expiresIn = expiresIn
  }
}
