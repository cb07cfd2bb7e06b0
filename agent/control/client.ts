/** The local API from the other end: what `nexctl` asks. */
import { request } from 'node:http'
import { z } from 'zod'
import { explain, OperatorError } from '../errors.ts'

const PROBLEM = z.object({ detail: z.string() })
/** Milliseconds: a ping of 100 packets takes the longest. */
const TIMEOUT_MS = 120_000

/** Throws OperatorError (ERR_CONTROL) when no daemon answers or the daemon refuses. */
export async function ask<T>(
  socketPath: string,
  shape: z.ZodType<T>,
  path: string,
  body?: object,
): Promise<T> {
  const { status, text } = await exchange(socketPath, path, body)
  if (status >= 400) {
    const problem = PROBLEM.safeParse(json(text))
    throw new OperatorError(
      'ERR_CONTROL',
      problem.success ? problem.data.detail : `the daemon answered status ${status}`,
    )
  }
  const parsed = shape.safeParse(json(text))
  if (parsed.success) return parsed.data
  throw new OperatorError(
    'ERR_CONTROL',
    'nexd and nexctl do not understand each other (are they of one version?)',
  )
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function exchange(
  socketPath: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        path,
        method: body === undefined ? 'GET' : 'POST',
        timeout: TIMEOUT_MS,
        headers: { 'content-type': 'application/json' },
      },
      (response) => {
        response.setEncoding('utf8')
        let text = ''
        response.on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
        response.on('error', reject)
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer in time')))
    call.on('error', (cause) => reject(unreachableDaemon(socketPath, cause)))
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function unreachableDaemon(socketPath: string, cause: NodeJS.ErrnoException): OperatorError {
  const hints: Record<string, string> = {
    ENOENT: 'is nexd running? start it with nexd up, or name its socket with --socket',
    ECONNREFUSED: 'nexd does not run any more; start it with nexd up',
    EACCES: 'run nexctl as the user nexd runs as, or as root',
  }
  const hint = hints[cause.code ?? ''] ?? explain(cause)
  return new OperatorError('ERR_CONTROL', `cannot reach nexd at ${socketPath} (${hint})`, { cause })
}
