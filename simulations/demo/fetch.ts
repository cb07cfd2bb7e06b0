/** Fetches of a page as any program makes them: by an HTTP proxy, or from a port of this host. */
import { get } from 'node:http'

/** For one answer. Milliseconds. */
const TIMEOUT_MS = 20_000
/** A page is small. */
const LIMIT_BYTES = 1 << 20

export interface Fetched {
  readonly status: number
  readonly text: string
  readonly ms: number
}

/** As `curl --proxy http://127.0.0.1:PORT URL`. */
export function fetchByProxy(proxyPort: number, url: string): Promise<Fetched> {
  return fetched(proxyPort, url, { host: new URL(url).host })
}

/** As `curl http://127.0.0.1:PORT/`. */
export function fetchFromPort(port: number): Promise<Fetched> {
  return fetched(port, '/', {})
}

function fetched(port: number, path: string, headers: Record<string, string>): Promise<Fetched> {
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    const call = get({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.length > LIMIT_BYTES) call.destroy(new Error(`more than ${LIMIT_BYTES} bytes`))
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, ms: performance.now() - begun }),
      )
    })
    call.setTimeout(TIMEOUT_MS, () => call.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)))
    call.on('error', reject)
  })
}
