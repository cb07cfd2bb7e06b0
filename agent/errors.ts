/** What stops the agent, worded for the operator: what is wrong and what to do. */
export type OperatorErrorCode =
  | 'ERR_STATE_DIRECTORY'
  | 'ERR_REGISTRY'
  | 'ERR_ENROLMENT'
  | 'ERR_ORGANIZATION'
  | 'ERR_CLOCK'
  | 'ERR_CONTROL'
  | 'ERR_ROOT_KEY'
  | 'ERR_USAGE'

export class OperatorError extends Error {
  override readonly name = 'OperatorError'
  readonly code: OperatorErrorCode

  /** @param message one line: what, and in parentheses what to do */
  constructor(code: OperatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The first line of what any thrown thing says, with the causes that add something. */
export function explain(error: unknown): string {
  const lines: string[] = []
  for (let each: unknown = error; each instanceof Error && lines.length < 4; each = each.cause) {
    const line = each.message.split('\n')[0] ?? ''
    if (line !== '' && !lines.some((known) => known.includes(line))) lines.push(line)
  }
  return lines.length > 0 ? lines.join(': ') : String(error)
}
