/** Requests to an etcd cluster by its JSON gateway (etcd's documentation, "Why gRPC gateway"): one member
 *  is asked, and where it does not answer the next, until one does or patience ends. */
import { readFile } from 'node:fs/promises'
import * as http from 'node:http'
import * as https from 'node:https'
import type { Clock } from '../../protocol/clock.ts'
import { EtcdFailure, failureOf, notAnswering } from './etcd-failure.ts'
import type { EtcdLocation } from './location.ts'
import { StoreError } from './store.ts'

export type ClientClock = Pick<Clock, 'monotonicMs' | 'sleep' | 'after' | 'now'>

/** Milliseconds for which one request is tried over and over: a cluster elects a leader in two seconds. */
const PATIENCE_MS = 12_000
/** Milliseconds that a member has to answer, doubled with each round of all members. A member that lost
 *  its leader may hold a request for seven seconds, while others answer already. */
const ANSWER_MS = 1_000
const LONGEST_ANSWER_MS = 8_000
/** Milliseconds between attempts. */
const PAUSE_MS = 50
/** Bytes of one answer: a page of the largest values. */
const ANSWER_BYTES = 128 * 1024 * 1024
/** Connections to one member. */
const SOCKETS = 64

export interface EtcdClient extends Disposable {
  /** The parsed answer. A request whose answer was lost is sent again: it must bear that.
   *  Throws EtcdFailure where etcd refuses it, StoreError where no member answers. */
  call(path: string, body: object): Promise<unknown>
  /** Parsed lines of an answer that does not end. Throws EtcdFailure. */
  stream(path: string, body: object, signal: AbortSignal): AsyncIterable<unknown>
  /** From now on another member is asked. */
  next(): void
}

/** Throws StoreError where a file that the location names can't be read. */
export async function openEtcdClient(
  location: EtcdLocation,
  clock: ClientClock,
): Promise<EtcdClient> {
  const read = (file: string | undefined) => (file === undefined ? undefined : readSetting(file))
  const [password, ca, cert, key] = await Promise.all(
    [location.passwordFile, location.ca, location.certificate, location.key].map(read),
  )
  const secret = password?.trim() ?? location.password
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
  return new GatewayClient(location, clock, secret, tls)
}

async function readSetting(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new StoreError(`--store: ${file} cannot be read (${why})`, { cause })
  }
}

class GatewayClient implements EtcdClient {
  readonly #location: EtcdLocation
  readonly #clock: ClientClock
  readonly #password: string | undefined
  readonly #agent: http.Agent | https.Agent
  #member = 0
  #token: Promise<string> | undefined
  #closed = false

  constructor(
    location: EtcdLocation,
    clock: ClientClock,
    password: string | undefined,
    tls: https.AgentOptions,
  ) {
    this.#location = location
    this.#clock = clock
    this.#password = password
    const isTls = location.endpoints[0]?.startsWith('https:') === true
    const options = { keepAlive: true, keepAliveMsecs: 10_000, maxSockets: SOCKETS }
    this.#agent = isTls ? new https.Agent({ ...options, ...tls }) : new http.Agent(options)
  }

  async call(path: string, body: object): Promise<unknown> {
    const since = this.#clock.monotonicMs()
    const members = this.#location.endpoints.length
    for (let attempt = 0; ; attempt++) {
      if (this.#closed) throw new StoreError('the store is closed')
      const member = this.#member
      const endpoint = this.#location.endpoints[member % members] ?? ''
      const answerMs = Math.min(ANSWER_MS * 2 ** Math.floor(attempt / members), LONGEST_ANSWER_MS)
      try {
        return await this.#authorized(endpoint, path, body, answerMs)
      } catch (error) {
        if (!(error instanceof EtcdFailure) || !error.isPassing) throw error
        if (this.#clock.monotonicMs() - since > PATIENCE_MS) {
          throw notAnswering(this.#location, error)
        }
        if (this.#member === member) this.next()
      }
      await this.#clock.sleep(PAUSE_MS)
    }
  }

  async *stream(path: string, body: object, signal: AbortSignal): AsyncIterable<unknown> {
    const { endpoints } = this.#location
    const endpoint = endpoints[this.#member % endpoints.length] ?? ''
    const response = await this.#open(endpoint, path, body, signal)
    let rest = ''
    try {
      response.setEncoding('utf8')
      for await (const chunk of response) {
        rest += String(chunk)
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') yield parseJson(endpoint, line)
        if (rest.length > ANSWER_BYTES) throw failureOf(endpoint, 200, undefined)
      }
    } catch (cause) {
      throw cause instanceof EtcdFailure ? cause : EtcdFailure.unreachable(endpoint, cause)
    } finally {
      response.destroy()
    }
  }

  async #open(endpoint: string, path: string, body: object, signal: AbortSignal) {
    try {
      return await this.#send(endpoint, path, body, LONGEST_ANSWER_MS, signal)
    } catch (error) {
      if (error instanceof EtcdFailure && error.isTokenOver) this.#token = undefined
      throw error
    }
  }

  next(): void {
    this.#member = (this.#member + 1) % this.#location.endpoints.length
  }

  /** A token ends after minutes, and with a restart of etcd: then there is another one. */
  async #authorized(endpoint: string, path: string, body: object, ms: number): Promise<unknown> {
    const before = this.#token
    try {
      return await this.#ask(endpoint, path, body, ms)
    } catch (error) {
      if (!(error instanceof EtcdFailure) || !error.isTokenOver) throw error
      // Of many requests that fail at once, the first asks for another token.
      if (before === undefined || this.#token === before) this.#token = undefined
      return this.#ask(endpoint, path, body, ms)
    }
  }

  async #ask(endpoint: string, path: string, body: object, ms: number): Promise<unknown> {
    return this.#answer(endpoint, await this.#send(endpoint, path, body, ms))
  }

  async #answer(endpoint: string, response: http.IncomingMessage): Promise<unknown> {
    const late = this.#clock.after(LONGEST_ANSWER_MS, () =>
      response.destroy(new Error('its answer broke off')),
    )
    try {
      return parseJson(endpoint, await contentOf(response))
    } catch (cause) {
      throw cause instanceof EtcdFailure ? cause : EtcdFailure.unreachable(endpoint, cause)
    } finally {
      late.cancel()
    }
  }

  async #send(endpoint: string, path: string, body: object, ms: number, signal?: AbortSignal) {
    const { user: name } = this.#location
    if (name === undefined) return this.#request(endpoint, path, body, ms, { signal })
    this.#token ??= this.#authenticate(endpoint, name, ms)
    this.#token.catch(() => {
      this.#token = undefined
    })
    return this.#request(endpoint, path, body, ms, { token: await this.#token, signal })
  }

  async #authenticate(endpoint: string, name: string, ms: number): Promise<string> {
    const wanted = { name, password: this.#password }
    const response = await this.#request(endpoint, '/v3/auth/authenticate', wanted, ms, {})
    const answer = await this.#answer(endpoint, response)
    if (answer !== null && typeof answer === 'object' && 'token' in answer) {
      return String(answer.token)
    }
    throw failureOf(endpoint, 200, undefined)
  }

  /** Resolves with the head of a 200 answer whose body is still to come. */
  async #request(
    endpoint: string,
    path: string,
    body: object,
    ms: number,
    { token, signal }: { token?: string; signal?: AbortSignal | undefined },
  ): Promise<http.IncomingMessage> {
    const content = JSON.stringify(body)
    const url = new URL(path, endpoint)
    const send = url.protocol === 'https:' ? https.request : http.request
    const request = send(url, {
      method: 'POST',
      agent: this.#agent,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(content),
        ...(token !== undefined && { authorization: token }),
      },
      ...(signal !== undefined && { signal }),
    })
    const late = this.#clock.after(ms, () =>
      request.destroy(new Error(`no answer within ${ms / 1000} s`)),
    )
    try {
      const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
      request.on('response', resolve).on('error', reject)
      request.end(content)
      const response = await promise
      if (response.statusCode === 200) return response
      throw failureOf(endpoint, response.statusCode ?? 0, await contentOf(response))
    } catch (cause) {
      throw cause instanceof EtcdFailure ? cause : EtcdFailure.unreachable(endpoint, cause)
    } finally {
      late.cancel()
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#agent.destroy()
  }
}

/** Throws where the answer breaks off, or has more than ANSWER_BYTES. */
async function contentOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response) {
    chunks.push(chunk as Buffer)
    length += (chunk as Buffer).length
    if (length > ANSWER_BYTES) throw new Error(`its answer has over ${ANSWER_BYTES} bytes`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(endpoint: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw failureOf(endpoint, 200, text)
  }
}
