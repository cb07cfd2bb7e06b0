/** What goes wrong with a tunnel, worded for the operator: one line, with what to do. */
export type TunnelErrorCode =
  | 'ERR_TUNNEL_PRIVILEGES'
  | 'ERR_TUNNEL_BACKEND_MISSING'
  | 'ERR_TUNNEL_NAME_TAKEN'
  | 'ERR_TUNNEL_NAME_INVALID'
  | 'ERR_TUNNEL_PORT_TAKEN'
  | 'ERR_TUNNEL_REFUSED'
  | 'ERR_TUNNEL_GONE'

export class TunnelError extends Error {
  override readonly name = 'TunnelError'
  readonly code: TunnelErrorCode

  /** @param message one line: what, and in parentheses what to do */
  constructor(code: TunnelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
