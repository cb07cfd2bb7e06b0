/** The registry's stream of changes as nexctl hears it (Server-Sent Events, WHATWG HTML §9.2). */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { explain, OperatorError } from '../errors.ts'
import { ApiRefusal, type RegistryApi } from './registry-api.ts'

const EVENT = z.object({
  sequence: z.int(),
  /** Seconds since the epoch. */
  at: z.int(),
  action: z.string(),
  subject: z.string().optional(),
})
export type ChangeEvent = z.output<typeof EVENT>

/** Characters of one event; the registry's have some hundred. */
const LARGEST = 64 * 1024
/** Milliseconds before it is tried again; twice as many each time that nothing was heard. */
const RETRY = { least: 1000, most: 30_000 } as const

/** Throws OperatorError (ERR_REGISTRY) where it is no stream of events. */
export async function* eventsIn(stream: AsyncIterable<Uint8Array>): AsyncGenerator<ChangeEvent> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true })
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    if (text.length > LARGEST) throw strange(`has more than ${LARGEST} characters`)
    for (const block of blocks) {
      const event = eventOf(block)
      if (event !== undefined) yield event
    }
  }
}

/** Undefined of a sign of life. */
function eventOf(block: string): ChangeEvent | undefined {
  const data = block
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice('data:'.length).trimStart())
  if (data.length === 0) return undefined
  try {
    return EVENT.parse(JSON.parse(data.join('\n')))
  } catch (cause) {
    throw strange('is not understood', cause)
  }
}

function strange(why: string, cause?: unknown): OperatorError {
  return new OperatorError('ERR_REGISTRY', `an event of the registry ${why}`, { cause })
}

export interface WatchParts {
  readonly api: Pick<RegistryApi, 'stream'>
  /** `/organizations/<id>/events` */
  readonly path: string
  readonly clock: Pick<Clock, 'sleep'>
  readonly tell: (event: ChangeEvent) => void
  /** Hears that the stream was lost, and why. */
  readonly lost: (why: string) => void
}

/** Tells every event behind `after` (undefined: from now on) once and in order, through lost connections, until
 *  it is ended. Throws ApiRefusal where the registry will not tell it any more. */
export async function watchEvents(
  { api, path, clock, tell, lost }: WatchParts,
  after: number | undefined,
  ended: AbortSignal,
): Promise<void> {
  let last = after
  let waitMs: number = RETRY.least
  while (!ended.aborted) {
    const query = last === undefined ? '' : `?after=${last}`
    try {
      for await (const event of eventsIn(api.stream(`${path}${query}`, ended))) {
        tell(event)
        last = event.sequence
        waitMs = RETRY.least
      }
    } catch (error) {
      if (ended.aborted) return
      const isFinal = error instanceof ApiRefusal && error.status < 500 && error.status !== 429
      if (isFinal || !(error instanceof OperatorError)) throw error
      lost(explain(error))
    }
    await clock.sleep(waitMs, ended).catch(() => undefined)
    waitMs = Math.min(2 * waitMs, RETRY.most)
  }
}
