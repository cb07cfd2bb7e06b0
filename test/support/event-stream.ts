/** A client of Server-Sent Events: what has come, and what comes next. */

export interface HeardEvent {
  readonly id: string
  readonly data: Readonly<Record<string, unknown>>
}

export interface EventStream extends AsyncDisposable {
  readonly status: number
  readonly headers: Headers
  /** Comments so far. */
  readonly comments: string[]
  /** The next event; undefined when the server has ended the stream. */
  next(): Promise<HeardEvent | undefined>
}

export async function openEventStream(url: string, init: RequestInit = {}): Promise<EventStream> {
  const cut = new AbortController()
  const response = await fetch(url, { ...init, signal: cut.signal })
  const comments: string[] = []
  const events = read(response, comments)
  return {
    status: response.status,
    headers: response.headers,
    comments,
    async next() {
      const { value } = await events.next()
      return value ?? undefined
    },
    async [Symbol.asyncDispose]() {
      cut.abort()
    },
  }
}

async function* read(response: Response, comments: string[]): AsyncGenerator<HeardEvent, void> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      if (block.startsWith(':')) comments.push(block)
      else yield eventOf(block)
    }
  }
}

function eventOf(block: string): HeardEvent {
  const fields = new Map(
    block.split('\n').map((line) => [line.split(': ', 1)[0] ?? '', line.replace(/^[^:]*: /, '')]),
  )
  return { id: fields.get('id') ?? '', data: JSON.parse(fields.get('data') ?? 'null') }
}
