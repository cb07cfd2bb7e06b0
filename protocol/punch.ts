/** Punch: "check me now, at these candidates" (SPEC §7.3). One frame on a libp2p stream, no answer. */
import { type Claims, integer, list } from './claims.ts'
import { type CborValue, decodeCborMap, encodeCbor } from './codec.ts'
import { type Candidate, encodeCandidate, parseCandidate } from './endpoint-update.ts'
import { CANDIDATES } from './limits.ts'

export const PUNCH_PROTOCOL = '/nexodus/punch/1'
export const PUNCH_BYTES = 1024

export interface Punch {
  /** Milliseconds since the epoch; an older one than the last is ignored. */
  readonly sequence: number
  readonly candidates: readonly Candidate[]
}

const SEQUENCE = { key: 1, name: 'sequence' }
const CANDIDATE = { key: 2, name: 'candidates' }

export function encodePunch({ sequence, candidates }: Punch): Uint8Array {
  return encodeCbor(
    new Map<CborValue, CborValue>([
      [SEQUENCE.key, sequence],
      [CANDIDATE.key, candidates.map(encodeCandidate)],
    ]),
  )
}

/** Throws MalformedError. */
export function parsePunch(frame: Uint8Array): Punch {
  const claims: Claims = { what: 'punch', map: decodeCborMap(frame, 'punch') }
  return {
    sequence: integer(claims, SEQUENCE, 0, 2 ** 48),
    candidates: list(claims, CANDIDATE, CANDIDATES, parseCandidate),
  }
}
