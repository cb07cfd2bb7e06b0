/** The registry as a client of an OpenID provider, its own or the organization's: code flow with PKCE. */
import { readFile } from 'node:fs/promises'
import * as oidc from 'openid-client'
import type { Clock } from '../../protocol/clock.ts'
import { type Config, ConfigError, isLoopback } from '../config.ts'
import type { RegistryContext } from '../context.ts'
import { ProblemError } from '../problem.ts'
import { PROVIDER_CLIENT_ID } from './embedded-provider.ts'
import type { SignInAttempt } from './sign-in-attempt.ts'

/** Whom the registry is a client of, and how. */
export interface Issuer {
  readonly url: URL
  /** Names the provider in a user's id: for the embedded one not its address, which may change. */
  readonly name: string
  readonly clientId: string
  readonly authentication: oidc.ClientAuth
  readonly scopes: string
  readonly insecure: boolean
  /** Asked at each sign-in: the embedded provider's own session must not sign anybody in again. */
  readonly prompt?: 'login'
  readonly fetch?: oidc.CustomFetch
}

/** What the provider vouches for. */
export interface Identified {
  readonly subject: string
  readonly email?: string
  readonly idToken: string
}

export interface RelyingParty {
  /** Where to send the browser. Throws a 502 problem when the provider cannot be reached. */
  authorizationUrl(attempt: SignInAttempt): Promise<URL>
  /** @param answer the callback's URL. Throws a 400 problem when the provider refused or the answer does not hold. */
  identify(answer: URL, attempt: SignInAttempt): Promise<Identified>
  /** Where the provider's own session can be ended; undefined when it has no such page. */
  endSessionUrl(idToken: string): Promise<URL | undefined>
}

/** Between attempts to discover the provider. Milliseconds. */
const RETRY_DELAYS_MS = [200, 800]
/** For each request to the provider. Seconds. */
const REQUEST_TIMEOUT = 5

/** Nothing of a sign-in but what the browser keeps in its attempt. */
export function newAttempt(returnTo: string, expiresAt: number): SignInAttempt {
  return {
    state: oidc.randomState(),
    nonce: oidc.randomNonce(),
    codeVerifier: oidc.randomPKCECodeVerifier(),
    returnTo,
    expiresAt,
  }
}

export function createRelyingParty(context: RegistryContext, issuer: Issuer): RelyingParty {
  const redirectUri = `${context.publicUrl}/auth/callback`
  let discovered: Promise<oidc.Configuration> | undefined
  const configuration = async () => {
    discovered ??= discover(issuer, context.clock)
    try {
      return await discovered
    } catch (cause) {
      discovered = undefined
      context.log('error', 'identity.provider-unreachable', {
        issuer: issuer.url.href,
        error: cause,
      })
      throw new ProblemError(
        502,
        'identity-provider-unreachable',
        `the identity provider ${issuer.url.host} cannot be reached: try again in a moment`,
        { cause },
      )
    }
  }
  return {
    async authorizationUrl(attempt) {
      return oidc.buildAuthorizationUrl(await configuration(), {
        redirect_uri: redirectUri,
        scope: issuer.scopes,
        state: attempt.state,
        nonce: attempt.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(attempt.codeVerifier),
        code_challenge_method: 'S256',
        ...(issuer.prompt !== undefined && { prompt: issuer.prompt }),
      })
    },
    async identify(answer, attempt) {
      const provider = await configuration()
      try {
        return await exchange(provider, answer, attempt)
      } catch (cause) {
        throw refusedBy(issuer, cause)
      }
    },
    async endSessionUrl(idToken) {
      const provider = await configuration()
      if (provider.serverMetadata().end_session_endpoint === undefined) return undefined
      return oidc.buildEndSessionUrl(provider, {
        id_token_hint: idToken,
        post_logout_redirect_uri: `${context.publicUrl}/`,
      })
    },
  }
}

async function discover(issuer: Issuer, clock: Clock): Promise<oidc.Configuration> {
  const { url, clientId, authentication, insecure, fetch } = issuer
  for (let attempt = 0; ; attempt++) {
    try {
      return await oidc.discovery(url, clientId, undefined, authentication, {
        timeout: REQUEST_TIMEOUT,
        execute: insecure ? [oidc.allowInsecureRequests] : [],
        ...(fetch !== undefined && { [oidc.customFetch]: fetch }),
      })
    } catch (error) {
      const delay = RETRY_DELAYS_MS[attempt]
      if (delay === undefined) throw error
      await clock.sleep(delay)
    }
  }
}

async function exchange(
  provider: oidc.Configuration,
  answer: URL,
  attempt: SignInAttempt,
): Promise<Identified> {
  const tokens = await oidc.authorizationCodeGrant(provider, answer, {
    pkceCodeVerifier: attempt.codeVerifier,
    expectedState: attempt.state,
    expectedNonce: attempt.nonce,
    idTokenExpected: true,
  })
  const claims = tokens.claims()
  if (claims === undefined || tokens.id_token === undefined) throw new Error('no ID token')
  const { sub: subject, email } = claims
  return { subject, idToken: tokens.id_token, ...(typeof email === 'string' && { email }) }
}

function refusedBy(issuer: Issuer, cause: unknown): ProblemError {
  const code = cause instanceof oidc.AuthorizationResponseError ? cause.error : undefined
  const why =
    code === undefined ? 'its answer does not belong to this sign-in' : `it said "${code}"`
  return new ProblemError(
    400,
    'sign-in-refused',
    `sign-in with ${issuer.url.host} was not completed: ${why}. Start again from the first page.`,
    { cause },
  )
}

/** The organization's own provider. Throws ConfigError when the secret cannot be read. */
export async function externalIssuer(config: Config): Promise<Issuer | undefined> {
  const { issuer, insecureHttp } = config
  if (issuer === undefined) return undefined
  return {
    url: issuer.url,
    name: issuer.url.href.replace(/\/$/, ''),
    clientId: issuer.clientId,
    authentication: await authenticationOf(issuer),
    scopes: issuer.scopes,
    insecure: issuer.url.protocol === 'http:' && (isLoopback(issuer.url.hostname) || insecureHttp),
  }
}

async function authenticationOf(issuer: NonNullable<Config['issuer']>): Promise<oidc.ClientAuth> {
  const { clientAuthentication, clientSecretFile } = issuer
  if (clientAuthentication === 'none' || clientSecretFile === undefined) return oidc.None()
  const secret = await readFile(clientSecretFile, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`--oidc-client-secret-file ${clientSecretFile}: cannot be read`, {
      cause,
    })
  })
  const value = secret.trim()
  return clientAuthentication === 'client_secret_basic'
    ? oidc.ClientSecretBasic(value)
    : oidc.ClientSecretPost(value)
}

/** The provider in this process, reached by the address it listens on: no proxy, no hairpin. */
export function embeddedIssuer(publicUrl: string, localUrl: string): Issuer {
  return {
    url: new URL(`${publicUrl}/oidc`),
    name: 'embedded',
    clientId: PROVIDER_CLIENT_ID,
    authentication: oidc.None(),
    scopes: 'openid email',
    insecure: publicUrl.startsWith('http:'),
    prompt: 'login',
    fetch: (url, options) => fetch(localUrl + url.slice(publicUrl.length), options as RequestInit),
  }
}
