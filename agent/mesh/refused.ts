/** Why a hello did not end in admission. */

/** The other end is no one to talk to. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly code = 'ERR_REFUSED'
  readonly refusal: string

  constructor(refusal: string) {
    super(refusal === 'clock' ? 'clock: the two clocks are more than 5 minutes apart' : refusal)
    this.refusal = refusal
  }
}

/** The other end said nothing, or not enough. */
export class HelloTimeoutError extends Error {
  override readonly name = 'HelloTimeoutError'
  readonly code = 'ERR_HELLO_TIMEOUT'

  constructor(limitMs: number) {
    super(`no hello within ${limitMs} ms`)
  }
}
