/** Ends connections of the mesh, whatever state they are in. */

interface Abortable {
  abort(cause: Error): void
}

/** Of libp2p: where the transport is closing but the muxer is not, aborting throws, for a last frame can't be sent any
 *  more, and the transport stays open. The muxer has ended by then, so that a second call ends the transport. */
export function abortConnection(connection: Abortable, cause: Error): void {
  try {
    connection.abort(cause)
  } catch {
    connection.abort(cause)
  }
}

/** Does something to a stream, which is aborted where it can't be done: it then gives `otherwise`. */
export function orAbort<T>(stream: Abortable, task: () => T, otherwise: T): T {
  try {
    return task()
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    return otherwise
  }
}
