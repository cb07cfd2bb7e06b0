/** Why: one side's evidence about the path between two devices, asked for and answered (SPEC §11). One frame
 *  each way on a libp2p stream. */
import { type Claims, integer } from './claims.ts'
import { decodeCborMap, encodeCbor } from './codec.ts'
import type { Evidence } from './evidence.ts'
import { encodeEvidence, parseEvidence } from './evidence-codec.ts'

export const WHY_PROTOCOL = '/nexodus/why/1'
/** Bytes of a question: an empty map, with room for what later versions ask. */
export const QUESTION_BYTES = 64
/** Bytes of an answer: the longest is 6,560. */
export const ANSWER_BYTES = 8192

export type WhyAnswer =
  | { readonly kind: 'evidence'; readonly evidence: Evidence }
  /** Asked too often. */
  | { readonly kind: 'later'; readonly afterMs: number }

const LATER = { key: 0, name: 'later' }

export function encodeQuestion(): Uint8Array {
  return encodeCbor(new Map())
}

/** Throws MalformedError. */
export function parseQuestion(frame: Uint8Array): void {
  decodeCborMap(frame, 'question')
}

export function encodeAnswer(answer: WhyAnswer): Uint8Array {
  return encodeCbor(
    answer.kind === 'later'
      ? new Map([[LATER.key, answer.afterMs]])
      : encodeEvidence(answer.evidence),
  )
}

/** Throws MalformedError. */
export function parseAnswer(frame: Uint8Array): WhyAnswer {
  const claims: Claims = { what: 'evidence', map: decodeCborMap(frame, 'evidence') }
  return claims.map.has(LATER.key)
    ? { kind: 'later', afterMs: integer(claims, LATER, 0, 2 ** 48) }
    : { kind: 'evidence', evidence: parseEvidence(claims) }
}
