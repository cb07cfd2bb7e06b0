/** The mesh could not listen where it was told to. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code = 'ERR_LISTEN'

  /** @param listen multiaddrs */
  constructor(listen: readonly string[], cause: unknown) {
    super(`the mesh cannot listen on ${listen.join(' ')}: ${reasonIn(String(cause))}`, { cause })
  }
}

/** libp2p says it in many lines; the system's code is in one of them. */
function reasonIn(text: string): string {
  if (/EADDRINUSE/.test(text)) {
    return 'the port is taken (stop what uses it, or choose another with --mesh-listen)'
  }
  if (/EADDRNOTAVAIL/.test(text)) {
    return 'this host has no such address (choose one of its own with --mesh-listen)'
  }
  if (/EACCES/.test(text)) return 'not permitted (choose a port above 1023, or run as root)'
  return text.split('\n').find((line) => line.trim() !== '') ?? 'unknown'
}
