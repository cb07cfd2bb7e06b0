/** What a parser throws, and nothing else, whatever bytes it is given. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
  readonly code = 'ERR_MALFORMED'

  /** @param what names the thing, the field, the limit and the value */
  constructor(what: string, options?: ErrorOptions) {
    super(`malformed ${what}`, options)
  }
}

/** A well-shaped envelope whose signature does not hold. */
export class BadSignatureError extends Error {
  override readonly name = 'BadSignatureError'
  readonly code = 'ERR_BAD_SIGNATURE'

  constructor(kind: string) {
    super(`bad signature on ${kind}`)
  }
}

/** The exhaustiveness check of a `switch`: reached only by a bug. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`)
}
