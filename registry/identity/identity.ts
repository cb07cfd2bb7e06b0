/** Who is asking: sign-in by OpenID Connect, and the sessions that follow from it. */
import type { Request, RequestHandler } from 'express'
import { ConfigError, isLoopback } from '../config.ts'
import type { RegistryContext } from '../context.ts'
import { type FoundOrganization, type UserId, users } from '../organizations.ts'
import type { Viewer } from '../web/layout.ts'
import { type Accounts, createAccounts } from './accounts.ts'
import { createEmbeddedProvider } from './embedded-provider.ts'
import { embeddedRoutes } from './embedded-routes.ts'
import { loadIdentityKeys } from './keys.ts'
import { sweepProvider } from './provider-adapter.ts'
import { createRelyingParty, embeddedIssuer, externalIssuers } from './relying-party.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { sweepLinks } from './setup-links.ts'
import { signInRoutes } from './sign-in-routes.ts'

/** A signed-in user, as pages need them. */
export interface SignedIn extends Viewer {
  readonly user: UserId
}

export interface Identity {
  /** The embedded provider, for /oidc; absent with an issuer of the organization's own. */
  readonly provider?: RequestHandler
  /** /login, /auth/callback, /logout, and with the embedded provider /login/… and /setup/…. */
  readonly routes: readonly RequestHandler[]
  readonly sessions: Sessions
  /** The session's user; undefined when there is none. */
  signedIn(request: Request): Promise<SignedIn | undefined>
  /** A user, as long as they may sign in; undefined when they are unknown, their account is gone, or what they show
   *  is of before their record: of a user who was deleted and came again. */
  known(user: UserId, since: number): Promise<SignedIn | undefined>
  /** Accounts of the embedded provider. */
  readonly accounts?: Accounts
  /** Where the first user sets up their account; undefined when there is one, or no such need. */
  firstUserUrl(): Promise<string | undefined>
  /** Deletes what is over: sessions, links, the provider's records. */
  sweep(): Promise<void>
}

export interface IdentityParts {
  /** Where this process answers itself, without proxies. */
  readonly localUrl: string
  readonly found: FoundOrganization
}

/** Throws ConfigError (unsafe public URL, unreadable secret) or KeyFileError. */
export async function createIdentity(
  context: RegistryContext,
  { localUrl, found }: IdentityParts,
): Promise<Identity> {
  const { config, publicUrl, randomBytes } = context
  const external = await externalIssuers(config)
  const isEmbedded = external.length === 0
  const issuers = isEmbedded ? [embeddedIssuer(publicUrl, localUrl)] : external
  const names = issuers.map(({ name }) => name)
  if (isEmbedded) refusePublicHttp(publicUrl, config.insecureHttp)
  const [shared] = context.keyEncryptionKeys ?? []
  const keys = await loadIdentityKeys(config.stateDirectory, randomBytes, shared)
  const sessions = createSessions(context, names)
  const providers = issuers.map((issuer) => ({
    ...{ issuer, relyingParty: createRelyingParty(context, issuer) },
  }))
  const signIn = signInRoutes(context, { providers, sessions, keys, found })
  if (!isEmbedded) {
    return {
      routes: [signIn],
      sessions,
      signedIn: (request) => signedIn(context, sessions, request),
      known: (user, since) => knownUser(context, { user, since }, names),
      firstUserUrl: async () => undefined,
      sweep: () => sessions.sweep(),
    }
  }
  const accounts = createAccounts(context)
  const provider = createEmbeddedProvider(context, accounts, keys)
  return {
    provider: provider.handler,
    sessions,
    routes: [signIn, embeddedRoutes(context, accounts, provider)],
    signedIn: (request) => signedIn(context, sessions, request, accounts),
    known: (user, since) => knownUser(context, { user, since }, names, accounts),
    accounts,
    async firstUserUrl() {
      const token = await accounts.firstUserLink()
      return token && `${publicUrl}/setup/${token}`
    },
    async sweep() {
      await sessions.sweep()
      await sweepLinks(context)
      await sweepProvider(context)
    },
  }
}

async function signedIn(
  context: RegistryContext,
  sessions: Sessions,
  request: Request,
  accounts?: Accounts,
): Promise<SignedIn | undefined> {
  const session = await sessions.find(request)
  if (session === undefined) return undefined
  const { user, issuer, createdAt } = session
  return knownUser(context, { user, since: createdAt }, [issuer], accounts)
}

async function knownUser(
  { database }: RegistryContext,
  { user: id, since }: { readonly user: UserId; readonly since: number },
  issuers: readonly string[],
  accounts?: Accounts,
): Promise<SignedIn | undefined> {
  const user = await database.get(users, id)
  // With another provider configured, whom the former vouched for is unknown.
  if (user === undefined || !issuers.includes(user.issuer)) return undefined
  // Who was deleted may come again, and what they had does not.
  if (since < user.createdAt) return undefined
  const account = await accounts?.find(user.subject)
  // An account that was removed ends the sessions and tokens made with it.
  if (accounts !== undefined && account === undefined) return undefined
  return { user: id, name: user.email ?? user.name, admin: account?.admin ?? false }
}

function refusePublicHttp(publicUrl: string, insecureHttp: boolean): void {
  const { protocol, hostname } = new URL(publicUrl)
  if (protocol === 'https:' || isLoopback(hostname) || insecureHttp) return
  throw new ConfigError(
    `--public-url ${publicUrl}: passwords would cross the network in the clear; serve https (a TLS proxy and --public-url https://…), configure --oidc-issuer, or in a laboratory pass --insecure-http`,
  )
}
