/** A frame channel: whole frames, in order, both ways; what an exchange runs over. */
import { MalformedError } from './errors.ts'

export interface FrameChannel {
  /** Rejects when the other has ended, or after the shell's time limit. */
  read(): Promise<Uint8Array>
  write(frame: Uint8Array): Promise<void>
}

/** Names of the errors of length-prefixed streams that only the other side can have caused. */
const FAULTS_OF_THE_OTHER: ReadonlySet<string> = new Set([
  'InvalidDataLengthError',
  'InvalidDataLengthLengthError',
  'InvalidMessageLengthError',
])

/** Throws what a failed read comes to: a length out of bounds is the other's fault, a MalformedError; all
 *  else is the network's and thrown as it is, an end inside a frame too. */
export function throwReadFailure(error: unknown): never {
  if (error instanceof Error && FAULTS_OF_THE_OTHER.has(error.name)) {
    throw new MalformedError(`frame: ${error.message}`, { cause: error })
  }
  throw error
}
