/** The registry as a client of an OpenID provider, its own or the organization's: code flow with PKCE. */
import * as oidc from 'openid-client'
import { toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { Clock } from '../../protocol/clock.ts'
import { type Config, type IssuerConfig, isLoopback } from '../config.ts'
import type { RegistryContext } from '../context.ts'
import { type AllowRules, type Claims, missingClaims } from './allow-list.ts'
import { authenticationOf } from './client-authentication.ts'
import { PROVIDER_CLIENT_ID } from './embedded-provider.ts'
import type { SignInAttempt } from './sign-in-attempt.ts'
import { signInRefusal, unreachable } from './sign-in-refusal.ts'

/** Whom the registry is a client of, and how. */
export interface Issuer {
  readonly url: URL
  /** In links of the sign-in page. */
  readonly id: string
  readonly label: string
  readonly rules: AllowRules
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
  readonly claims: Claims
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
/** Seconds that a provider's clock may be off: its tokens last minutes. */
const CLOCK_TOLERANCE = 60
/** For each request to the provider. Seconds. */
const REQUEST_TIMEOUT = 5

/** Nothing of a sign-in but what the browser keeps in its attempt. */
export function newAttempt(provider: string, returnTo: string, expiresAt: number): SignInAttempt {
  return {
    provider,
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
      throw unreachable(issuer.url.host, cause)
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
        return await exchange(provider, issuer.rules, answer, attempt)
      } catch (cause) {
        throw signInRefusal(issuer.url.host, cause)
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
      const client = { [oidc.clockTolerance]: CLOCK_TOLERANCE }
      return await oidc.discovery(url, clientId, client, authentication, {
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
  rules: AllowRules,
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
  const { sub: subject } = claims
  return { subject, idToken: tokens.id_token, claims: await fullClaims(provider, rules, tokens) }
}

/** Some providers put into the ID token only who it is: the rest is asked for. */
async function fullClaims(
  provider: oidc.Configuration,
  rules: AllowRules,
  tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
): Promise<Claims> {
  const claims = tokens.claims() ?? {}
  const isAsked = missingClaims(rules, claims).length > 0
  if (!isAsked || provider.serverMetadata().userinfo_endpoint === undefined) return claims
  const subject = String(tokens.claims()?.sub)
  return { ...(await oidc.fetchUserInfo(provider, tokens.access_token, subject)), ...claims }
}

/** Providers that the operator has named. Throws ConfigError when a secret cannot be read. */
export async function externalIssuers(config: Config): Promise<readonly Issuer[]> {
  const { issuers = [], insecureHttp } = config
  return Promise.all(issuers.map((issuer) => externalIssuer(issuer, insecureHttp)))
}

async function externalIssuer(issuer: IssuerConfig, insecureHttp: boolean): Promise<Issuer> {
  return {
    url: issuer.url,
    id: toHex(sha256(utf8(issuer.url.href))).slice(0, 12),
    label: issuer.label ?? issuer.url.host,
    rules: issuer,
    name: issuer.url.href.replace(/\/$/, ''),
    clientId: issuer.clientId,
    authentication: await authenticationOf(issuer),
    scopes: issuer.scopes,
    insecure: issuer.url.protocol === 'http:' && (isLoopback(issuer.url.hostname) || insecureHttp),
  }
}

/** The provider in this process, reached by the address it listens on: no proxy, no hairpin. */
export function embeddedIssuer(publicUrl: string, localUrl: string): Issuer {
  return {
    url: new URL(`${publicUrl}/oidc`),
    id: 'embedded',
    label: 'this registry',
    rules: {},
    name: 'embedded',
    clientId: PROVIDER_CLIENT_ID,
    authentication: oidc.None(),
    scopes: 'openid email',
    insecure: publicUrl.startsWith('http:'),
    prompt: 'login',
    fetch: (url, options) => fetch(localUrl + url.slice(publicUrl.length), options as RequestInit),
  }
}
