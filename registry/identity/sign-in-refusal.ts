/** What a person is told when a provider does not complete their sign-in. */
import * as oidc from 'openid-client'
import { ProblemError } from '../problem.ts'

/** RFC 6749 §5.2: it is the registry that is refused, not the person. */
const REFUSALS_OF_CLIENTS = new Set(['invalid_client', 'unauthorized_client'])

export function unreachable(host: string, cause: unknown): ProblemError {
  return new ProblemError(
    502,
    'identity-provider-unreachable',
    `the identity provider ${host} cannot be reached: try again in a moment`,
    { cause },
  )
}

/** @param cause what openid-client has thrown */
export function signInRefusal(host: string, cause: unknown): ProblemError {
  if (isUnreachable(cause)) return unreachable(host, cause)
  const code = codeOf(cause)
  if (code !== undefined && REFUSALS_OF_CLIENTS.has(code)) {
    return new ProblemError(
      502,
      'identity-provider-refuses-client',
      `the identity provider ${host} refuses this registry ("${code}"): its operator should look at the client id and secret, and at how the provider wants them`,
      { cause },
    )
  }
  const why =
    code === undefined ? 'its answer does not belong to this sign-in' : `it said "${code}"`
  return new ProblemError(
    400,
    'sign-in-refused',
    `sign-in with ${host} was not completed: ${why}. Start again from the first page`,
    { cause },
  )
}

/** RFC 6749 §4.1.2.1, §5.2; of a challenge what it says (RFC 6750 §3), else that it wants a client to prove itself. */
function codeOf(cause: unknown): string | undefined {
  if (cause instanceof oidc.WWWAuthenticateChallengeError) {
    const said = cause.cause.map(({ parameters }) => parameters.error)
    return said.find((error) => error !== undefined) ?? 'invalid_client'
  }
  const isSaid =
    cause instanceof oidc.AuthorizationResponseError || cause instanceof oidc.ResponseBodyError
  return isSaid ? cause.error : undefined
}

/** It does not answer, or something before it answers in its place, or it fails. */
function isUnreachable(cause: unknown): boolean {
  if (cause instanceof oidc.ClientError) {
    const { code, cause: answer } = cause
    return code === 'OAUTH_TIMEOUT' || (answer instanceof Response && answer.status >= 500)
  }
  return cause instanceof TypeError && cause.message === 'fetch failed'
}
