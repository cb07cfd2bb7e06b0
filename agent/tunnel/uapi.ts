/** UAPI: WireGuard's configuration protocol (wireguard.com/xplatform) over a unix socket that stays open. */
import { connect, type Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { TunnelError } from './errors.ts'

export interface Uapi extends AsyncDisposable {
  /** The device's lines, `key=value`, each with its end. */
  get(): Promise<string>
  /** Makes the changes of these lines in their order, as one operation. */
  set(lines: readonly string[]): Promise<void>
}

/** WireGuard answered with an error. */
export class UapiError extends Error {
  override readonly name = 'UapiError'
  readonly code = 'ERR_UAPI'
  /** `EADDRINUSE`, `EINVAL`, … */
  readonly errno: string

  constructor(errno: string) {
    super(`WireGuard refused a change with ${errno}`)
    this.errno = errno
  }
}

/** Milliseconds: the slowest answer measured, 1000 peers added in one set, took 165. */
const ANSWER_TIMEOUT_MS = 10_000

interface Waiting {
  readonly resolve: (answer: string) => void
  readonly reject: (error: Error) => void
}

/** Requests are sent one after the other. The connection is opened by the first, and again by the next one
 *  after it was lost. Requests throw TunnelError (ERR_TUNNEL_GONE) when nothing answers, and UapiError. */
export function openUapi(path: string, clock: Clock): Uapi {
  let link: { socket: Socket; ask: (text: string) => Promise<string> } | undefined
  let last: Promise<unknown> = Promise.resolve()
  const drop = (): void => {
    link?.socket.destroy()
    link = undefined
  }
  const ask = async (text: string): Promise<string> => {
    if (link === undefined || link.socket.destroyed) link = openLink(path, clock)
    try {
      return checked(await link.ask(text))
    } catch (error) {
      // After a refused line wireguard-go reads the rest of the request as if it were another.
      drop()
      throw error
    }
  }
  const request = (text: string): Promise<string> => {
    const answer = last.then(() => ask(text))
    last = answer.catch(() => undefined)
    return answer
  }
  return {
    get: () => request('get=1\n\n'),
    async set(lines) {
      await request(`set=1\n${lines.map((line) => `${line}\n`).join('')}\n`)
    },
    async [Symbol.asyncDispose]() {
      drop()
      await last
    },
  }
}

/** One connection with at most one request under way. */
function openLink(
  path: string,
  clock: Clock,
): { socket: Socket; ask: (text: string) => Promise<string> } {
  const socket = connect(path).setEncoding('utf8')
  let waiting: Waiting | undefined
  let timer: Cancellable | undefined
  let received: string[] = []
  const settle = (use: (waiter: Waiting) => void): void => {
    timer?.cancel()
    const waiter = waiting
    waiting = undefined
    if (waiter !== undefined) use(waiter)
  }
  const fail = (why: string, cause?: Error): void =>
    settle(({ reject }) => reject(new TunnelError('ERR_TUNNEL_GONE', `${path} ${why}`, { cause })))
  socket.on('data', (chunk: string) => {
    received.push(chunk)
    // The blank line that ends an answer may be cut by a chunk's border.
    const tail = chunk.length > 1 ? chunk : received.slice(-2).join('')
    if (!tail.endsWith('\n\n')) return
    const answer = received.join('')
    received = []
    settle(({ resolve }) => resolve(answer))
  })
  socket.on('error', (cause) => fail(`does not answer: ${cause.message}`, cause))
  socket.on('close', () => fail('was closed before it answered'))
  return {
    socket,
    ask: (text) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject }
        timer = clock.after(ANSWER_TIMEOUT_MS, () => {
          fail(`has not answered in ${ANSWER_TIMEOUT_MS} ms`)
          socket.destroy()
        })
        socket.write(text)
      }),
  }
}

/** An answer without its status. Throws UapiError unless the status is 0. */
function checked(answer: string): string {
  const at = answer.lastIndexOf('errno=')
  const status = Number(/^errno=(-?\d+)\n+$/.exec(answer.slice(at))?.[1])
  if (status === 0) return answer.slice(0, at)
  throw new UapiError(status < 0 ? getSystemErrorName(status) : `status ${status}`)
}
