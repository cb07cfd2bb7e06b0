/** The registry's API as a program uses it, with a session or a token. */
import type { Browser } from '../../simulations/lab/login.ts'

export type Json = Record<string, unknown>

export interface ApiAnswer {
  readonly status: number
  readonly json: Json
  readonly headers: Headers
}

export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<ApiAnswer>

async function answerOf(response: Response): Promise<ApiAnswer> {
  const text = await response.text()
  const isJson = /(application\/|problem\+)json(;|$)/.test(
    response.headers.get('content-type') ?? '',
  )
  const json = isJson && text !== '' ? (JSON.parse(text) as Json) : {}
  return { status: response.status, json, headers: response.headers }
}

function initOf(method: string, body: unknown, headers: Record<string, string>): RequestInit {
  return {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }
}

/** As a page's own script would ask. */
export function withSession(browser: Browser): Ask {
  return async (method, path, body, headers = {}) => {
    const init = initOf(method, body, { origin: browser.baseUrl, accept: '*/*', ...headers })
    return answerOf(await browser.fetch(`/v1${path}`, init))
  }
}

/** As a program with a token asks; without one, as a stranger. */
export function withToken(url: string, token?: string): Ask {
  return async (method, path, body, headers = {}) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return answerOf(
      await fetch(`${url}/v1${path}`, initOf(method, body, { ...authorization, ...headers })),
    )
  }
}

/** A new token of who is signed in. */
export async function newToken(
  ask: Ask,
  scopes: readonly string[],
  wanted: { readonly lifetime?: number } = {},
): Promise<{ readonly id: string; readonly token: string }> {
  const { status, json } = await ask('POST', '/user/tokens', {
    ...{ description: 'a test', scopes },
    ...wanted,
  })
  if (status !== 201) throw new Error(`no token: ${status} ${JSON.stringify(json)}`)
  return { id: String(json['id']), token: String(json['token']) }
}
