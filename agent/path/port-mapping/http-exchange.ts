/** HTTP exchange: one request to the gateway, its answer bounded in size and time, redirects not followed. */
import { request } from 'node:http'
import { concat } from '../../../crypto/bytes.ts'
import type { IpAddress } from '../../../protocol/address.ts'

/** Bytes of an answer: descriptions in the field are 2 to 20 kB. */
const BODY_BYTES = 65_536
const HEADER_BYTES = 8192

export interface HttpExchange {
  readonly url: URL
  readonly source: IpAddress
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Bounds the time. */
  readonly signal: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly body: Uint8Array
}

/** Throws when there is no whole answer of at most 64 KiB before the signal is aborted. */
export function httpExchange(options: HttpExchange): Promise<HttpAnswer> {
  const { url, source, method, headers = {}, body = '', signal } = options
  return new Promise((resolve, reject) => {
    const asking = request(
      url,
      {
        method,
        agent: false,
        localAddress: source,
        maxHeaderSize: HEADER_BYTES,
        headers: { ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) },
        signal,
      },
      (response) => {
        const parts: Uint8Array[] = []
        let length = 0
        response.on('data', (part: Buffer) => {
          length += part.length
          parts.push(part)
          if (length > BODY_BYTES) {
            asking.destroy(new Error(`an answer of more than ${BODY_BYTES} bytes`))
          }
        })
        response.on('error', reject)
        response.once('end', () => {
          resolve({ status: response.statusCode ?? 0, body: concat(...parts) })
        })
      },
    )
    asking.on('error', reject)
    asking.end(body)
  })
}
