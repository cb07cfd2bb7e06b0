/** A process of its own that is an OpenID provider with one client: node oidc-issuer.ts <port> <redirect URI> <method>.
 *  Whoever comes is signed in under the subject they type. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import Provider, { type ClientAuthMethod, interactionPolicy } from 'oidc-provider'

export const ISSUER_CLIENT = { id: 'nexodus-test', secret: 'se-cr_et.~1' }

const [port = '', redirectUri = '', method = ''] = process.argv.slice(2)
if (port !== '') serve(Number(port), redirectUri, method as ClientAuthMethod)

function serve(listen: number, redirect: string, authMethod: ClientAuthMethod): void {
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
    cookies: { keys: ['a key of the test'] },
    claims: { openid: ['sub'], email: ['email'] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    interactions: { policy, url: (_context, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant(context) {
      const grant = new provider.Grant({
        clientId: ISSUER_CLIENT.id,
        accountId: context.oidc.session?.accountId ?? '',
      })
      grant.addOIDCScope('openid email')
      await grant.save()
      return grant
    },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@issuer.example` }),
    }),
  })
  const callback = provider.callback()
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
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
