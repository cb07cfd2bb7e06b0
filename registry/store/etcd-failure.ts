/** What an etcd member answers in place of what was asked, told apart by what helps. */
import type { EtcdLocation } from './location.ts'
import { StoreError } from './store.ts'

/** gRPC's status codes (its documentation, "Status codes and their use"), as the gateway gives them. */
const CODES = {
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const

const PASSING: ReadonlySet<number> = new Set([
  CODES.deadlineExceeded,
  CODES.resourceExhausted,
  CODES.unavailable,
])

interface Traits {
  /** Another member, or the same one in a moment, may answer. */
  readonly isPassing?: boolean
  readonly isTokenOver?: boolean
  readonly isCompacted?: boolean
}

export class EtcdFailure extends StoreError {
  readonly isPassing: boolean
  readonly isTokenOver: boolean
  readonly isCompacted: boolean

  constructor(message: string, traits: Traits, options?: ErrorOptions) {
    super(message, options)
    this.isPassing = traits.isPassing ?? false
    this.isTokenOver = traits.isTokenOver ?? false
    this.isCompacted = traits.isCompacted ?? false
  }

  static unreachable(endpoint: string, cause: unknown): EtcdFailure {
    const why = cause instanceof Error ? reasonOf(cause) : String(cause)
    return new EtcdFailure(`${endpoint}: ${why}`, { isPassing: !isOfTls(cause) }, { cause })
  }
}

/** @param content of an answer that is not what was asked for */
export function failureOf(
  endpoint: string,
  status: number,
  content: string | undefined,
): EtcdFailure {
  const { code, error } = parseProblem(content)
  if (error === undefined) {
    const isPassing = status >= 500
    const words = `${endpoint} does not answer like etcd 3.4 or later (HTTP status ${status})`
    return new EtcdFailure(isPassing ? words : `${words}: check --store`, { isPassing })
  }
  const advice = adviceOn(code, error)
  return new EtcdFailure(`${endpoint}: ${error}${advice === undefined ? '' : ` (${advice})`}`, {
    isPassing: advice === undefined && (status >= 500 || PASSING.has(code)),
    isTokenOver: code === CODES.unauthenticated || /auth: revision in header/.test(error),
    isCompacted: code === CODES.outOfRange,
  })
}

function parseProblem(content: string | undefined): { code: number; error: string | undefined } {
  try {
    const problem: unknown = JSON.parse(content ?? '')
    if (problem !== null && typeof problem === 'object' && 'error' in problem) {
      return { code: 'code' in problem ? Number(problem.code) : 0, error: String(problem.error) }
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return { code: 0, error: undefined }
}

/** What the operator can do; undefined where waiting is all there is. */
function adviceOn(code: number, error: string): string | undefined {
  if (/user name is empty/.test(error)) return 'give the user in --store: etcd://user@host:port'
  if (/invalid user ID or password/.test(error)) return 'check user and password of --store'
  if (/authentication is not enabled/.test(error)) return 'leave the user out of --store'
  if (code === CODES.permissionDenied) {
    return 'let the user read and write the prefix: etcdctl role grant-permission'
  }
  if (/database space exceeded/.test(error)) {
    return 'its disk quota is used up: compact and defragment it, etcdctl alarm disarm, and see --quota-backend-bytes'
  }
  if (/too many operations/.test(error)) return 'start etcd with a greater --max-txn-ops'
  if (/larger than max|request is too large/.test(error)) {
    return 'start etcd with a greater --max-request-bytes'
  }
  return undefined
}

/** No member did; what the last one said is shown. */
export function notAnswering({ endpoints }: EtcdLocation, last: EtcdFailure): StoreError {
  const which = endpoints.map((endpoint) => endpoint.replace(/^https?:\/\//, '')).join(', ')
  return new StoreError(
    `etcd cannot be used at ${which}; the last answer was ${last.message}: is a majority of its members running, and is --store right?`,
    { cause: last },
  )
}

function reasonOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : undefined
  if (code === 'ECONNREFUSED') return 'connection refused'
  if (isOfTls(error)) return `${error.message} (${code ?? 'TLS'}: check "ca" in --store)`
  return error.message === '' ? (code ?? 'no connection') : error.message
}

/** A certificate that does not fit is no passing trouble. */
function isOfTls(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^(ERR_TLS|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|EPROTO|ERR_SSL)/.test(code)
}
