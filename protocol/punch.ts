/** Punch: "check me now, at these candidates" (SPEC §7.3), and the words of a spraying round (SPEC §10.8). One
 *  frame on a libp2p stream, no answer. */
import { addressBytes, addressFromBytes, type IpAddress } from './address.ts'
import { type Claims, integer, list } from './claims.ts'
import { type CborValue, decodeCborMap, encodeCbor } from './codec.ts'
import { type Candidate, encodeCandidate, parseCandidate } from './endpoint-update.ts'
import { MalformedError } from './errors.ts'
import { CANDIDATES } from './limits.ts'

export const PUNCH_PROTOCOL = '/nexodus/punch/1'
export const PUNCH_BYTES = 1024

/** `ask`: may I open mappings for you? `ready`: do. `open`: they are open, spray. Order is the wire's. */
export const SPRAY_STEPS = ['ask', 'ready', 'open'] as const

export interface Spray {
  readonly step: (typeof SPRAY_STEPS)[number]
  /** The hard side's public address. */
  readonly address: IpAddress
}

export interface Punch {
  /** Milliseconds since the epoch; an older one than the last is ignored. */
  readonly sequence: number
  readonly candidates: readonly Candidate[]
  readonly spray?: Spray | undefined
}

const SEQUENCE = { key: 1, name: 'sequence' }
const CANDIDATE = { key: 2, name: 'candidates' }
const SPRAY = { key: 3, name: 'spray' }
/** Items of it: two, and room for later versions. */
const SPRAY_ITEMS = 8

export function encodePunch({ sequence, candidates, spray }: Punch): Uint8Array {
  return encodeCbor(
    new Map<CborValue, CborValue>([
      [SEQUENCE.key, sequence],
      [CANDIDATE.key, candidates.map(encodeCandidate)],
      ...(spray === undefined ? [] : [sprayClaim(spray)]),
    ]),
  )
}

/** Throws MalformedError. */
export function parsePunch(frame: Uint8Array): Punch {
  const claims: Claims = { what: 'punch', map: decodeCborMap(frame, 'punch') }
  const spray = parseSpray(claims)
  return {
    sequence: integer(claims, SEQUENCE, 0, 2 ** 48),
    candidates: list(claims, CANDIDATE, CANDIDATES, parseCandidate),
    ...(spray === undefined ? {} : { spray }),
  }
}

/** `[step, address]`. */
function sprayClaim({ step, address }: Spray): [CborValue, CborValue] {
  return [SPRAY.key, [SPRAY_STEPS.indexOf(step), addressBytes(address)]]
}

/** A step of a later version is none, and what it adds at the end is ignored. */
function parseSpray(claims: Claims): Spray | undefined {
  if (!claims.map.has(SPRAY.key)) return undefined
  const [step, address] = list(claims, SPRAY, SPRAY_ITEMS, (item) => item)
  if (typeof step !== 'number' || step < 0 || step > 255)
    throw new MalformedError('punch: spray step is not 0 to 255')
  if (!(address instanceof Uint8Array))
    throw new MalformedError('punch: spray address must be bytes')
  const known = SPRAY_STEPS[step]
  return known && { step: known, address: addressFromBytes(address) }
}
