/** The OpenID provider glewlwyd, from its Debian package, on loopback in a folder of its own; and people at it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gunzipSync } from 'node:zlib'
import { systemClock } from '../../registry/system-clock.ts'
import { type Browser, type BrowserPage, openBrowser } from '../../simulations/lab/login.ts'
import { packageFiles } from './debian-package.ts'
import { freePort, temporaryDirectory } from './registry.ts'

export const GLEWLWYD_CLIENT = { id: 'nexodus-test', secret: 'se-cr_et.~1' }

/** What glewlwyd's database starts with. */
const ADMINISTRATOR = { username: 'admin', password: 'password' }
const PASSWORD = 'of everybody here'
const SCOPES = ['openid', 'email', 'groups']

export interface Person {
  readonly username: string
  readonly email: string
  readonly isVerified: boolean
  readonly groups: readonly string[]
}

export interface Glewlwyd extends AsyncDisposable {
  /** Of its provider: the only one there is. */
  readonly issuer: string
  readonly child: ChildProcess
  add(person: Person): Promise<void>
  /** What its login page does for a person, from the provider's address that the browser was sent to: signs
   *  in, grants what was asked for, and goes on. */
  signIn(browser: Browser, at: BrowserPage, username: string): Promise<BrowserPage>
  /** As `signIn`, but stops at the answer: where the browser is sent with it. */
  answer(browser: Browser, at: BrowserPage, username: string): Promise<URL>
}

/** @param redirectUri of its one client. Throws with what it said where it does not start. */
export async function startGlewlwyd(redirectUri: string): Promise<Glewlwyd> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const folder = await temporaryDirectory()
  const child = await startProcess(folder, port)
  try {
    const administrator = openBrowser(url)
    await send(administrator, 'POST', '/api/auth/', ADMINISTRATOR)
    await configure(administrator, `${url}/api/oidc`, redirectUri)
    return {
      issuer: `${url}/api/oidc`,
      child,
      add: async ({ username, email, isVerified, groups }) => {
        const verified = isVerified ? '1' : '0'
        const person = { username, email, verified, groups, password: PASSWORD, enabled: true }
        await send(administrator, 'POST', '/api/user/', { ...person, scope: SCOPES })
      },
      signIn: async (browser, at, username) => browser.open(await grant(browser, at, username)),
      answer: async (browser, at, username) => {
        const response = await browser.fetch(await grant(browser, at, username))
        return new URL(response.headers.get('location') ?? '')
      },
      [Symbol.asyncDispose]: () => end(child),
    }
  } catch (error) {
    await end(child)
    throw error
  }
}

/** A provider of somebody's own that has people sign in at glewlwyd, with its tokens and its keys, and says
 *  that all of it is its own. */
export async function startImpostor(
  of: Glewlwyd,
): Promise<AsyncDisposable & { readonly issuer: string }> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const genuine = await fetch(`${of.issuer}/.well-known/openid-configuration`)
  const metadata = JSON.stringify({ ...((await genuine.json()) as object), issuer })
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end(metadata)
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return { issuer, [Symbol.asyncDispose]: async () => void server.close() }
}

async function startProcess(folder: string, port: number): Promise<ChildProcess> {
  const files = packageFiles('glewlwyd')
  const database = join(folder, 'database')
  makeDatabase(database, files)
  const configuration = join(folder, 'configuration')
  mkdirSync(join(folder, 'pages'))
  writeFileSync(configuration, configurationOf({ port, database, folder, files }))
  const child = spawn(join(files, 'usr/bin/glewlwyd'), ['--config-file', configuration], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-20_000)
    })
  }
  process.once('exit', () => child.kill('SIGKILL'))
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/config`).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer?.ok === true) return child
    if (child.exitCode !== null) throw new Error(`glewlwyd did not start: ${said}`)
    await systemClock.sleep(50)
  }
}

function makeDatabase(path: string, files: string): void {
  const tables = join(files, 'usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz')
  using database = new DatabaseSync(path)
  database.exec(gunzipSync(readFileSync(tables)).toString('utf8'))
}

interface Places {
  readonly port: number
  readonly database: string
  readonly folder: string
  readonly files: string
}

function configurationOf({ port, database, folder, files }: Places): string {
  const modules = join(files, 'usr/lib/glewlwyd')
  return `port=${port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:${port}"
login_url="login.html"
api_prefix="api"
static_files_path="${join(folder, 'pages')}"
log_mode="console"
log_level="WARNING"
cookie_domain="127.0.0.1"
cookie_secure=0
session_key="GLEWLWYD_SESSION"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
login_api_enabled=true
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="${modules}/user"
user_middleware_module_path="${modules}/user_middleware"
client_module_path="${modules}/client"
user_auth_scheme_module_path="${modules}/scheme"
plugin_module_path="${modules}/plugin"
hash_algorithm="SHA512"
database={ type="sqlite3"; path="${database}"; };
`
}

/** Its administrator's work: properties of users, scopes, the provider, the client. */
async function configure(by: Browser, issuer: string, redirectUri: string): Promise<void> {
  const users = (await read(by, '/api/mod/user/database')) as { parameters: Properties }
  const properties = users.parameters['data-format']
  const kept = { read: true, write: true, 'profile-read': true, 'profile-write': false }
  properties['groups'] = { ...kept, multiple: true }
  properties['verified'] = { ...kept, multiple: false }
  await send(by, 'PUT', '/api/mod/user/database', users)
  await send(by, 'PUT', '/api/mod/user/database/reset')
  for (const name of SCOPES.filter((scope) => scope !== 'openid')) {
    await send(by, 'POST', '/api/scope/', { name, display_name: name, password_required: false })
  }
  await send(by, 'POST', '/api/mod/plugin/', providerOf(issuer, await signingKeys()))
  await send(by, 'POST', '/api/client/', {
    client_id: GLEWLWYD_CLIENT.id,
    client_secret: GLEWLWYD_CLIENT.secret,
    password: GLEWLWYD_CLIENT.secret,
    confidential: true,
    enabled: true,
    scope: [],
    redirect_uri: [redirectUri],
    authorization_type: ['code'],
    token_endpoint_auth_method: ['client_secret_post', 'client_secret_basic'],
  })
}

interface Properties {
  readonly 'data-format': Record<string, object>
}

function providerOf(issuer: string, keys: string): object {
  return {
    module: 'oidc',
    name: 'oidc',
    display_name: 'OpenID provider',
    parameters: {
      iss: issuer,
      'jwks-private': keys,
      'jwks-show': true,
      'subject-type': 'public',
      'allowed-scope': SCOPES,
      'access-token-duration': 60,
      'refresh-token-duration': 60,
      'code-duration': 60,
      'auth-type-code-enabled': true,
      'auth-type-code-revoke-replayed': true,
      'auth-type-token-enabled': false,
      'pkce-allowed': true,
      'pkce-required': true,
      'oauth-as-iss-id': true,
      'email-claim': 'mandatory',
      claims: [
        { name: 'groups', 'user-property': 'groups', type: 'string', mandatory: true },
        {
          name: 'email_verified',
          'user-property': 'verified',
          type: 'boolean',
          'boolean-value-true': '1',
          'boolean-value-false': '0',
          mandatory: true,
        },
      ],
    },
  }
}

/** JSON of a private JWKS with a fresh key for ES256. */
async function signingKeys(): Promise<string> {
  const kind = { name: 'ECDSA', namedCurve: 'P-256' }
  const { privateKey } = await crypto.subtle.generateKey(kind, true, ['sign', 'verify'])
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey('jwk', privateKey)
  return JSON.stringify({
    keys: [{ kty, crv, x, y, d, alg: 'ES256', use: 'sig', kid: 'of the test' }],
  })
}

/** Signs in and grants; where to go on. */
async function grant(browser: Browser, { url }: BrowserPage, username: string): Promise<string> {
  const asked = new URL(url.searchParams.get('callback_url') ?? url)
  const { origin, searchParams } = asked
  await send(browser, 'POST', `${origin}/api/auth/`, { username, password: PASSWORD })
  const scope = searchParams.get('scope')
  await send(browser, 'PUT', `${origin}/api/auth/grant/${searchParams.get('client_id')}`, { scope })
  return `${asked.href}&g_continue`
}

async function read(browser: Browser, path: string): Promise<unknown> {
  return (await send(browser, 'GET', path)).json()
}

/** Throws with what glewlwyd says where it refuses. */
async function send(
  browser: Browser,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  const response = await browser.fetch(path, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  })
  if (!response.ok) {
    throw new Error(`glewlwyd: ${method} ${path}: ${response.status} ${await response.text()}`)
  }
  return response
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
