/** Socket error: what Node's own sockets fail with, from ours. */
import { type Endpoint, formatEndpoint } from '../../protocol/address.ts'

export type SocketErrorCode =
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ECONNABORTED'
  | 'ETIMEDOUT'
  | 'EHOSTUNREACH'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EMSGSIZE'
  | 'ENOBUFS'
  | 'EPIPE'

export class SocketError extends Error {
  override readonly name = 'SocketError'
  readonly code: SocketErrorCode
  readonly syscall: string

  constructor(syscall: string, code: SocketErrorCode, about?: Endpoint | string) {
    const text = about === undefined || typeof about === 'string' ? about : formatEndpoint(about)
    super([syscall, code, text].filter((word) => word !== undefined).join(' '))
    this.code = code
    this.syscall = syscall
  }
}
