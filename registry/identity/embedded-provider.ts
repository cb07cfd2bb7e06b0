/** The OpenID provider inside the registry, for those who have none: accounts with passwords, one client. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'
import Provider, {
  type ClientMetadata,
  type Configuration,
  errors,
  interactionPolicy,
} from 'oidc-provider'
import type { RegistryContext } from '../context.ts'
import { problemOf } from '../problem.ts'
import { renderProblem } from '../web/layout.ts'
import type { Accounts } from './accounts.ts'
import type { IdentityKeys } from './keys.ts'
import { providerAdapter } from './provider-adapter.ts'

export const PROVIDER_CLIENT_ID = 'nexodus-registry'

/** Seconds. */
const LIFETIME = { interaction: 600, session: 3600, grant: 3600, token: 600 }

export interface EmbeddedProvider {
  /** Mounted at /oidc. */
  readonly handler: RequestHandler
  /** The interaction a login form belongs to. Undefined when it is over, or not this browser's. */
  interaction(request: IncomingMessage, response: ServerResponse): Promise<string | undefined>
  /** Ends the interaction and answers the request with the redirect onward. */
  finish(request: IncomingMessage, response: ServerResponse, account: string): Promise<void>
}

export function createEmbeddedProvider(
  context: RegistryContext,
  accounts: Accounts,
  keys: IdentityKeys,
): EmbeddedProvider {
  const { publicUrl, log } = context
  const provider = new Provider(`${publicUrl}/oidc`, configurationOf(context, accounts, keys))
  provider.proxy = true
  provider.on('server_error', (_context, error) =>
    log('error', 'identity.provider-failed', { error }),
  )
  const callback = provider.callback()
  return {
    handler: (request, response) => {
      presentAs(request, publicUrl)
      return callback(request, response)
    },
    async interaction(request, response) {
      presentAs(request, publicUrl)
      try {
        return (await provider.interactionDetails(request, response)).uid
      } catch (error) {
        if (error instanceof errors.SessionNotFound) return undefined
        throw error
      }
    },
    async finish(request, response, account) {
      presentAs(request, publicUrl)
      await provider.interactionFinished(request, response, { login: { accountId: account } })
    },
  }
}

/** The provider builds its URLs from these: only ever the public URL, whatever a client sent. */
function presentAs(request: IncomingMessage, publicUrl: string): void {
  const { host, protocol } = new URL(publicUrl)
  request.headers.host = host
  request.headers['x-forwarded-host'] = host
  request.headers['x-forwarded-proto'] = protocol.slice(0, -1)
}

function configurationOf(
  context: RegistryContext,
  accounts: Accounts,
  keys: IdentityKeys,
): Configuration {
  const { publicUrl } = context
  const policy = interactionPolicy.base()
  // One client, ours, asking for what it was made for.
  policy.remove('consent')
  return {
    adapter: providerAdapter(context),
    clients: [ownClient(publicUrl)],
    jwks: { keys: [keys.providerJwk] },
    enabledJWA: { idTokenSigningAlgValues: ['EdDSA'] },
    cookies: { keys: [keys.providerCookies] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    scopes: ['openid', 'email'],
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
    interactions: { policy, url: (_context, interaction) => `/login/${interaction.uid}` },
    ttl: {
      Interaction: LIFETIME.interaction,
      Session: LIFETIME.session,
      Grant: LIFETIME.grant,
      AccessToken: LIFETIME.token,
      IdToken: LIFETIME.token,
      AuthorizationCode: 60,
    },
    loadExistingGrant,
    async findAccount(_context, id) {
      const account = await accounts.find(id)
      if (account === undefined) return undefined
      const { email, emailVerified: email_verified = false } = account
      return { accountId: id, claims: () => ({ sub: id, email, email_verified }) }
    },
    renderError: (koa, out) => {
      koa.type = 'html'
      koa.body = renderProblem({
        ...problemOf(undefined),
        title: 'Sign-in failed',
        status: koa.status,
        detail: out.error_description ?? out.error,
      })
    },
  }
}

function ownClient(publicUrl: string): ClientMetadata {
  return {
    client_id: PROVIDER_CLIENT_ID,
    token_endpoint_auth_method: 'none',
    redirect_uris: [`${publicUrl}/auth/callback`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    id_token_signed_response_alg: 'EdDSA',
  }
}

const loadExistingGrant: NonNullable<Configuration['loadExistingGrant']> = async (context) => {
  const { client, session, provider } = context.oidc
  if (client === undefined || session?.accountId === undefined) return undefined
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope('openid email')
  await grant.save()
  return grant
}
