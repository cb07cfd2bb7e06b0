/** Request ids: one for each request, in the log, in problems and in the answer's X-Request-Id. */
import type { Request, RequestHandler } from 'express'
import { toBase32 } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'

/** 16 characters. */
const ID_BYTES = 10

const ids = new WeakMap<Request, string>()

/** Drawn here, whatever a client sends: an id of its own could be another's in the log. */
export function requestIds(randomBytes: RandomBytes): RequestHandler {
  return (request, response, next) => {
    const id = toBase32(randomBytes(ID_BYTES))
    ids.set(request, id)
    response.set('X-Request-Id', id)
    next()
  }
}

export function requestIdOf(request: Request): string {
  return ids.get(request) ?? 'unknown'
}
