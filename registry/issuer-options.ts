/** Options that say whom the registry lets sign in: one OpenID provider by flags, any number by a file. */
import { readFileSync } from 'node:fs'
import type { Option } from 'commander'
import { z } from 'zod'
import { GROUPS, TEXT_CHARACTERS } from '../protocol/limits.ts'
import { ConfigError, type IssuerConfig, isLoopback } from './config.ts'

export interface IdentityOptions {
  oidcIssuer?: URL
  oidcClientId?: string
  oidcClientSecretFile?: string
  oidcClientAuthentication?: IssuerConfig['clientAuthentication']
  oidcScopes: string
  oidcAllowDomains: string[]
  oidcConfig?: string
  insecureHttp?: boolean
}

/** Providers of one registry: a page of buttons. */
const ISSUERS = 16
const METHODS = ['client_secret_post', 'client_secret_basic', 'none'] as const
const USUAL_SCOPES = 'openid email'

const LABEL = z.string().min(1).max(TEXT_CHARACTERS)
const DOMAIN = z
  .string()
  .toLowerCase()
  .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'is no domain, such as example.org')
const PROVIDER = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }),
  clientId: z.string().min(1),
  clientSecretFile: z.string().min(1).optional(),
  clientAuthentication: z.enum(METHODS).optional(),
  scopes: z.string().default(USUAL_SCOPES),
  label: LABEL.optional(),
  emailDomains: z.array(DOMAIN).min(1).optional(),
  trustEmail: z.boolean().optional(),
  groupsClaim: z.string().min(1).optional(),
  allowedGroups: z.array(LABEL).min(1).optional(),
  groups: z.record(LABEL, LABEL).optional(),
})
const FILE = z.strictObject({ issuers: z.array(PROVIDER).min(1).max(ISSUERS) })

/** @param option makes one, with its environment variable */
export function identityOptions(
  option: (flags: string, text: string) => Option,
  parse: { readonly url: (text: string) => URL; readonly list: (text: string) => string[] },
): Option[] {
  return [
    option('--oidc-issuer <url>', 'your OpenID provider, instead of the embedded one').argParser(
      parse.url,
    ),
    option('--oidc-client-id <id>', 'as registered with the provider'),
    option('--oidc-client-secret-file <file>', 'holds the client secret'),
    option('--oidc-client-authentication <method>', 'how the secret is sent').choices(METHODS),
    option('--oidc-scopes <scopes>', 'asked for at sign-in').default(USUAL_SCOPES),
    option('--oidc-allow-domains <list>', 'only verified e-mail addresses of these may sign in')
      .argParser(parse.list)
      .default([], 'all'),
    option('--oidc-config <file>', 'several providers, who may sign in, groups (JSON; see README)'),
  ]
}

/** None: the embedded provider. Throws ConfigError. */
export function issuersOf(options: IdentityOptions): readonly IssuerConfig[] {
  const issuers = [...byFlags(options), ...byFile(options)]
  const urls = issuers.map(({ url }) => url.href)
  const twice = urls.find((url, at) => urls.indexOf(url) !== at)
  if (twice !== undefined) throw new ConfigError(`--oidc-config: ${twice} is there twice`)
  return issuers
}

function byFlags(options: IdentityOptions): readonly IssuerConfig[] {
  const {
    oidcIssuer: url,
    oidcClientId: clientId,
    oidcClientSecretFile: clientSecretFile,
    oidcClientAuthentication,
    oidcAllowDomains,
  } = options
  if (url === undefined) {
    const alone = clientId ?? clientSecretFile ?? oidcClientAuthentication ?? oidcAllowDomains[0]
    if (alone !== undefined) {
      throw new ConfigError(
        '--oidc-client-… and --oidc-allow-… are of no use without --oidc-issuer',
      )
    }
    return []
  }
  if (clientId === undefined) throw new ConfigError('--oidc-issuer needs --oidc-client-id')
  const emailDomains = oidcAllowDomains.map(domainOf)
  return [
    checked(
      {
        ...{ url, clientId, scopes: options.oidcScopes },
        clientAuthentication:
          oidcClientAuthentication ?? (clientSecretFile ? 'client_secret_post' : 'none'),
        ...(clientSecretFile !== undefined && { clientSecretFile }),
        ...(emailDomains.length > 0 && { emailDomains }),
      },
      { of: '--oidc-issuer', method: '--oidc-client-authentication', insecure: options },
    ),
  ]
}

function domainOf(text: string): string {
  const parsed = DOMAIN.safeParse(text)
  if (parsed.success) return parsed.data
  throw new ConfigError(`--oidc-allow-domains: "${text}" is no domain, such as example.org`)
}

function byFile(options: IdentityOptions): readonly IssuerConfig[] {
  const { oidcConfig: path } = options
  if (path === undefined) return []
  const parsed = FILE.safeParse(readJson(path))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new ConfigError(
      `--oidc-config ${path}: ${issue?.path.join('.') || 'file'}: ${issue?.message}`,
    )
  }
  return parsed.data.issuers.map(({ issuer, clientAuthentication, ...rest }, at) => {
    const secret = rest.clientSecretFile !== undefined
    const groups = Object.values(rest.groups ?? {})
    const of = `--oidc-config ${path}: issuers.${at}`
    if (new Set(groups).size > GROUPS) {
      throw new ConfigError(`${of}.groups: more than ${GROUPS} security groups, a device's most`)
    }
    const config = {
      ...definedOf(rest),
      url: new URL(issuer),
      clientAuthentication: clientAuthentication ?? (secret ? 'client_secret_post' : 'none'),
    } as IssuerConfig // its fields but those that are undefined
    return checked(config, { of, method: `${of}.clientAuthentication`, insecure: options })
  })
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : 'cannot be read'
    throw new ConfigError(`--oidc-config ${path}: ${why}`, { cause })
  }
}

function definedOf(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function checked(
  config: IssuerConfig,
  {
    of,
    method,
    insecure,
  }: {
    readonly of: string
    readonly method: string
    readonly insecure: Pick<IdentityOptions, 'insecureHttp'>
  },
): IssuerConfig {
  const { url, clientAuthentication, clientSecretFile } = config
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && insecure.insecureHttp !== true) {
    throw new ConfigError(`${of} ${url.href}: must be https (or a loopback address)`)
  }
  if (clientAuthentication !== 'none' && clientSecretFile === undefined) {
    throw new ConfigError(`${method} ${clientAuthentication} needs a client secret file`)
  }
  return config
}
