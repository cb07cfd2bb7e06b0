/** Sent envelope: one that a request brings as text, opened. */
import { EncodingError, fromBase64 } from '../crypto/bytes.ts'
import { type EnvelopeOf, openEnvelope } from '../protocol/envelope.ts'
import { BadSignatureError, MalformedError } from '../protocol/errors.ts'

/** Throws what `invalid` makes of the reason, where it is no such envelope. */
export function openSent<K extends 'proof' | 'issuer-certificate'>(
  text: string,
  kind: K,
  invalid: (why: string, cause?: unknown) => Error,
): EnvelopeOf<K> {
  const envelope = opened(text, invalid)
  if (envelope.kind !== kind) throw invalid(`it is a ${envelope.kind}`)
  return envelope as EnvelopeOf<K> // of that kind
}

function opened(text: string, invalid: (why: string, cause?: unknown) => Error) {
  try {
    return openEnvelope(fromBase64(text))
  } catch (error) {
    const isTheirs =
      error instanceof MalformedError ||
      error instanceof BadSignatureError ||
      error instanceof EncodingError
    throw isTheirs ? invalid(error.message, error) : error
  }
}
