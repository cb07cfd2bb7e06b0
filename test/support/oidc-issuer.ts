/** A process of its own that is an OpenID provider with one client:
 *  node oidc-issuer.ts <port> <redirect URI> <method> [JSON of IssuerHabits].
 *  Whoever comes is signed in under the subject they type, and is in the groups that follow dots in it; the
 *  e-mail address is verified unless the subject begins with "unverified". */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import Provider, { type ClientAuthMethod, interactionPolicy } from 'oidc-provider'

export const ISSUER_CLIENT = { id: 'nexodus-test', secret: 'se-cr_et.~1' }

/** Seconds. */
export const ID_TOKEN_LIFETIME = 10

export interface IssuerHabits {
  /** Seconds that its clock is ahead. */
  readonly ahead?: number
  /** The ID token says only who it is; the rest is at the userinfo endpoint. */
  readonly terse?: boolean
  /** What it answers at one path instead of the truth. */
  readonly fails?: { readonly path: string; readonly status: number; readonly challenge?: string }
}

const [port = '', redirectUri = '', method = '', habits = '{}'] = process.argv.slice(2)
if (port !== '')
  serve(Number(port), redirectUri, method as ClientAuthMethod, JSON.parse(habits) as IssuerHabits)

function serve(
  listen: number,
  redirect: string,
  authMethod: ClientAuthMethod,
  { ahead = 0, terse = false, fails }: IssuerHabits,
): void {
  const now = Date.now
  Date.now = () => now() + ahead * 1000
  const policy = interactionPolicy.base()
  policy.remove('consent')
  const provider = new Provider(`http://127.0.0.1:${listen}`, {
    clients: [
      {
        client_id: ISSUER_CLIENT.id,
        client_secret: ISSUER_CLIENT.secret,
        token_endpoint_auth_method: authMethod,
        redirect_uris: [redirect],
      },
    ],
    ttl: { IdToken: ID_TOKEN_LIFETIME },
    cookies: { keys: ['a key of the test'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'email', 'groups'],
    conformIdTokenClaims: terse,
    features: { devInteractions: { enabled: false } },
    interactions: { policy, url: (_context, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant(context) {
      const grant = new provider.Grant({
        clientId: ISSUER_CLIENT.id,
        accountId: context.oidc.session?.accountId ?? '',
      })
      grant.addOIDCScope('openid email groups')
      await grant.save()
      return grant
    },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@issuer.example`,
        email_verified: !id.startsWith('unverified'),
        groups: id.split('.').slice(1),
      }),
    }),
  })
  const callback = provider.callback()
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (fails !== undefined && request.url === fails.path) {
      if (fails.challenge !== undefined) response.setHeader('www-authenticate', fails.challenge)
      return response.writeHead(fails.status, { 'content-type': 'text/html' }).end('<p>no</p>')
    }
    if (!request.url?.startsWith('/interaction/')) return callback(request, response)
    const { uid } = await provider.interactionDetails(request, response)
    if (request.method === 'GET') {
      return response
        .setHeader('content-type', 'text/html')
        .end(`<form method="post" action="/interaction/${uid}"><input name="subject"></form>`)
    }
    let body = ''
    for await (const chunk of request) body += chunk
    const subject = new URLSearchParams(body).get('subject')
    const result = subject
      ? { login: { accountId: subject } }
      : { error: 'access_denied', error_description: 'the person said no' }
    return provider.interactionFinished(request, response, result)
  }
  createServer((request, response) => void answer(request, response)).listen(
    listen,
    '127.0.0.1',
    () => console.log('listening'),
  )
}
