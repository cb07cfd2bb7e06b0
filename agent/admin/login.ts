/** Logging in to a registry: by a page that the user opens somewhere (RFC 8628), for a token of this program's own. */
import { hostname, userInfo } from 'node:os'
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { SCOPES } from '../../protocol/scopes.ts'
import { OperatorError } from '../errors.ts'
import { type Login, writeLogin } from './login-file.ts'
import { ApiRefusal, openRegistryApi, type RegistryApi } from './registry-api.ts'

/** What a token of nexctl is good for, unless the user asks for something else. */
export const LOGIN_SCOPES = SCOPES.filter((scope) => scope !== 'root')

const STARTED = z.object({
  device_code: z.string(),
  user_code: z.string(),
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
  expires_in: z.number(),
  interval: z.number(),
})
const GRANTED = z.object({ access_token: z.string() })

export interface LoginWanted {
  readonly registry: string
  readonly scopes: readonly string[]
  readonly days: number
  readonly insecureHttp: boolean
}

export interface LoginParts {
  readonly clock: Pick<Clock, 'sleep' | 'monotonicMs'>
  /** Tells the user what to do. */
  readonly say: (line: string) => void
}

/** Waits until somebody has decided, and keeps the token in `path`. Throws OperatorError (ERR_USAGE,
 *  ERR_REGISTRY, ERR_ENROLMENT: denied or too late). */
export async function logIn(path: string, wanted: LoginWanted, parts: LoginParts): Promise<Login> {
  const registry = registryUrl(wanted.registry, wanted.insecureHttp)
  const api = openRegistryApi(registry)
  const started = STARTED.safeParse(
    await api.ask('POST', '/login-authorizations', {
      client: `nexctl of ${userInfo().username} on ${hostname()}`.slice(0, 64),
      scopes: wanted.scopes,
      lifetime: Math.round(wanted.days * 86_400),
    }),
  )
  if (!started.success) {
    throw new OperatorError('ERR_REGISTRY', `${registry} does not offer logins`)
  }
  parts.say(`Open ${started.data.verification_uri_complete}`)
  parts.say(`and let the program in that shows the code ${started.data.user_code}.`)
  const token = await granted(api, started.data, parts)
  const login = { registry, token }
  await writeLogin(path, login)
  return login
}

/** Ends in a slash. Throws OperatorError (ERR_USAGE). */
export function registryUrl(text: string, insecureHttp: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new OperatorError('ERR_USAGE', `--registry ${text}: want https://host[:port]`)
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && !insecureHttp) {
    throw new OperatorError(
      'ERR_USAGE',
      `--registry ${text}: the token would cross the network in the clear (use https, or in a laboratory --insecure-http)`,
    )
  }
  return `${url.origin}/`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

async function granted(
  api: RegistryApi,
  started: z.output<typeof STARTED>,
  { clock }: LoginParts,
): Promise<string> {
  const ends = clock.monotonicMs() + started.expires_in * 1000
  let interval = started.interval
  while (clock.monotonicMs() < ends) {
    await clock.sleep(interval * 1000)
    try {
      const answer = await api.ask('POST', '/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
        device_code: started.device_code,
      })
      return GRANTED.parse(answer).access_token
    } catch (error) {
      if (!(error instanceof ApiRefusal)) throw error
      if (error.refusal === 'slow_down') interval += 5
      else if (error.refusal !== 'authorization_pending') throw decided(error.refusal)
    }
  }
  throw decided('expired_token')
}

function decided(refusal: string): OperatorError {
  const why = refusal === 'access_denied' ? 'the login was denied' : 'nobody decided in time'
  return new OperatorError('ERR_ENROLMENT', `${why} (nexctl login again)`)
}
