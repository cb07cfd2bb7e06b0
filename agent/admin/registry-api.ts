/** The registry's HTTP API as its people's programs use it. */
import { z } from 'zod'
import { explain, OperatorError } from '../errors.ts'
import { systemClock } from '../system-clock.ts'

/** Milliseconds until an answer is there; of a stream, until its next part is. The registry gives a sign of
 *  life every 15 s. */
const TIMEOUT_MS = 30_000
/** Items that lists are read of; more is asked for by pages of its own. */
const ITEMS = 100_000
/** Of a page, as large as the registry gives them. */
const PAGE = 1000

export type Json = Readonly<Record<string, unknown>>

const OBJECT = z.record(z.string(), z.unknown())
const PROBLEM = z.object({
  code: z.string().optional(),
  error: z.string().optional(),
  detail: z.string().optional(),
  error_description: z.string().optional(),
  field: z.string().optional(),
})

/** The registry said no. `code` is its own. */
export class ApiRefusal extends OperatorError {
  readonly refusal: string
  readonly status: number

  constructor(status: number, refusal: string, message: string) {
    super('ERR_REGISTRY', message)
    this.status = status
    this.refusal = refusal
  }
}

export interface RegistryApi {
  /** `{}` where the answer has no body. Throws ApiRefusal, or OperatorError (ERR_REGISTRY). */
  ask(method: string, path: string, body?: object): Promise<Json>
  /** Every item of a list that comes in pages. */
  list(path: string, name: string): Promise<readonly Json[]>
  /** Every item of a list that comes as a whole. */
  wholeList(path: string, name: string): Promise<readonly Json[]>
  /** The answer as it comes, however long. Throws ApiRefusal, or OperatorError (ERR_REGISTRY) where it breaks
   *  off or stands still. */
  stream(path: string, ended?: AbortSignal): AsyncIterable<Uint8Array>
}

/** @param registry its URL, ending in a slash
 *  @param token absent: asks as nobody */
export function openRegistryApi(registry: string, token?: string): RegistryApi {
  const ask = async (method: string, path: string, body?: object): Promise<Json> => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await request(registry, token, signal, method, path, body)
    if (response.status === 204) return {}
    const answer = OBJECT.safeParse(await response.json().catch(() => undefined))
    if (answer.success) return answer.data
    throw notARegistry(registry, `its answer to ${method} ${path} is no object`)
  }
  const itemsIn = (path: string, name: string) => (page: Json) => {
    const items = z.array(OBJECT).safeParse(page[name])
    if (items.success) return items.data
    throw notARegistry(registry, `its answer to GET ${path} has no ${name}`)
  }
  return {
    ask,
    wholeList: async (path, name) => itemsIn(path, name)(await ask('GET', path)),
    async list(path, name) {
      const itemsOf = itemsIn(path, name)
      const found: Json[] = []
      const joint = path.includes('?') ? '&' : '?'
      let next: string | undefined = ''
      while (next !== undefined && found.length < ITEMS) {
        const cursor: string = next === '' ? '' : `&cursor=${encodeURIComponent(next)}`
        const page = await ask('GET', `${path}${joint}limit=${PAGE}${cursor}`)
        found.push(...itemsOf(page))
        next = typeof page['next'] === 'string' ? page['next'] : undefined
      }
      return found
    },
    stream: (path, ended) => streamOf(registry, token, path, ended),
  }
}

async function* streamOf(
  registry: string,
  token: string | undefined,
  path: string,
  ended?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const cut = new AbortController()
  const timer = () => systemClock.after(TIMEOUT_MS, () => cut.abort(new Error('it stands still')))
  let silence = timer()
  try {
    const signal = ended === undefined ? cut.signal : AbortSignal.any([cut.signal, ended])
    const { body } = await request(registry, token, signal, 'GET', path)
    for await (const bytes of body ?? []) {
      silence.cancel()
      yield bytes
      silence = timer()
    }
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause
    throw new OperatorError('ERR_REGISTRY', `${registry} was lost (${explain(cause)})`, { cause })
  } finally {
    silence.cancel()
    // What is left unread would hold the connection.
    cut.abort()
  }
}

async function request(
  registry: string,
  token: string | undefined,
  signal: AbortSignal,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  const response = await fetch(new URL(`v1${path}`, registry), {
    method,
    // A redirect would carry the token elsewhere.
    redirect: 'error',
    signal,
    headers: {
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch((cause: unknown) => {
    throw new OperatorError('ERR_REGISTRY', `cannot reach ${registry} (${explain(cause)})`, {
      cause,
    })
  })
  if (response.ok) return response
  const problem = PROBLEM.safeParse(await response.json().catch(() => undefined))
  if (!problem.success) throw notARegistry(registry, `it answers ${response.status}`)
  const { code, error, detail, error_description: description } = problem.data
  const message = `the registry refused: ${detail ?? description ?? `status ${response.status}`}`
  throw new ApiRefusal(response.status, code ?? error ?? 'unknown', message)
}

function notARegistry(registry: string, why: string): OperatorError {
  return new OperatorError(
    'ERR_REGISTRY',
    `${registry} does not answer like a Nexodus registry: ${why}`,
  )
}
