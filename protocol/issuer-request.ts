/** Issuer request: what a registry wants the root to sign, as text that a person reads before it signs
 *  (SPEC §4.4). One line a field, in one order, so that one request has one text. */
import { fromBase32, toBase32 } from '../crypto/bytes.ts'
import { type Prefix, parsePrefix, prefixContains } from './address.ts'
import { sealEnvelope } from './envelope.ts'
import { MalformedError } from './errors.ts'
import { encodeIssuerCertificate } from './issuer-certificate.ts'
import {
  type DeviceId,
  deviceKeyOf,
  type IssuerPublicKey,
  type OrganizationId,
  organizationIdOf,
  parseDeviceId,
  parseKey,
  parseOrganizationId,
  type RootKeyPair,
} from './keys.ts'
import {
  APPROVERS,
  CLOCK_TOLERANCE,
  ISSUER_CERTIFICATE_LIFETIME,
  MEMBERSHIP_CERTIFICATE_LIFETIME,
  RANGES,
} from './limits.ts'
import { type Seconds, seconds } from './time.ts'

/** Where an organization may have addresses: RFC 1918, RFC 6598, and the locally assigned half of RFC 4193. */
export const ADDRESS_SPACE: readonly Prefix[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  'fd00::/8',
].map(parsePrefix)

export interface IssuerRequest {
  readonly organization: OrganizationId
  /** For people. */
  readonly name: string
  /** `renewal`: of the issuer in use; `rotation`: of another one. */
  readonly purpose: (typeof PURPOSES)[number]
  readonly key: IssuerPublicKey
  readonly ranges: readonly Prefix[]
  readonly longestMembership: Seconds
  readonly notBefore: Seconds
  readonly notAfter: Seconds
  readonly lock?: RequestedLock
}

export interface RequestedLock {
  /** Names are for people. */
  readonly approvers: readonly { readonly device: DeviceId; readonly name: string }[]
  readonly since: Seconds
}

const PURPOSES = ['renewal', 'rotation'] as const
const TITLE = 'nexodus issuer request 1'
/** Characters of a request: 16 approvers and ranges, and then some. */
const LONGEST = 8192

export function encodeIssuerRequest(request: IssuerRequest): string {
  const { lock } = request
  const lines = [
    TITLE,
    `organization: ${request.organization}`,
    `name: ${request.name}`,
    `purpose: ${request.purpose}`,
    `issuer: ${toBase32(request.key)}`,
    `ranges: ${request.ranges.join(' ')}`,
    `longest membership: ${request.longestMembership} s`,
    `not before: ${iso(request.notBefore)}`,
    `not after: ${iso(request.notAfter)}`,
    ...(lock === undefined ? [] : [`locked since: ${iso(lock.since)}`]),
    ...(lock?.approvers ?? []).map(({ device, name }) => `approver: ${device} ${name}`),
  ]
  return `${lines.join('\n')}\n`
}

/** Throws MalformedError. */
export function parseIssuerRequest(text: string): IssuerRequest {
  if (text.length > LONGEST) throw malformed(`${text.length} characters, want at most ${LONGEST}`)
  const [title, ...lines] = text.trimEnd().split('\n')
  if (title !== TITLE) throw malformed(`begins with "${title?.slice(0, 40)}", want "${TITLE}"`)
  const read = readerOf(lines)
  const request = {
    organization: parseOrganizationId(read('organization')),
    name: read('name'),
    purpose: purposeOf(read('purpose')),
    key: parseKey<'issuer'>(base32(read('issuer')), 'issuer request: issuer'),
    ranges: read('ranges').split(' ').map(parsePrefix),
    longestMembership: duration(read('longest membership')),
    notBefore: instant('not before', read('not before')),
    notAfter: instant('not after', read('not after')),
  }
  const lock = lockOfLines(read)
  const parsed = { ...request, ...(lock !== undefined && { lock }) }
  // What is signed is what was read: no line may say more than the fields do.
  if (encodeIssuerRequest(parsed) !== `${text.trimEnd()}\n`) {
    throw malformed('has lines that do not belong there, or are not written as they should be')
  }
  return parsed
}

type Read = {
  (field: string): string
  isNext(field: string): boolean
}

function readerOf(lines: readonly string[]): Read {
  let at = 0
  const isNext = (field: string): boolean => lines[at]?.startsWith(`${field}: `) ?? false
  const read = (field: string): string => {
    const line = lines[at]
    if (line === undefined || !isNext(field)) {
      throw malformed(`line ${at + 2} is "${(line ?? '').slice(0, 40)}", want "${field}: …"`)
    }
    at += 1
    return line.slice(field.length + 2)
  }
  return Object.assign(read, { isNext })
}

function lockOfLines(read: Read): RequestedLock | undefined {
  if (!read.isNext('locked since')) return undefined
  const since = instant('locked since', read('locked since'))
  const approvers: RequestedLock['approvers'][number][] = []
  while (read.isNext('approver')) {
    const [device = '', ...name] = read('approver').split(' ')
    approvers.push({ device: parseDeviceId(device), name: name.join(' ') })
  }
  return { approvers, since }
}

/** What the root must not sign, or undefined. */
export function requestProblem(request: IssuerRequest, now: Seconds): string | undefined {
  const { ranges, longestMembership, notBefore, notAfter, lock } = request
  const outside = ranges.find((range) => !ADDRESS_SPACE.some((each) => prefixContains(each, range)))
  const lasts = notAfter - notBefore
  if (ranges.length > RANGES) return `${ranges.length} ranges, at most ${RANGES} are allowed`
  if (outside !== undefined) {
    return `range ${outside} is not private: want one inside ${ADDRESS_SPACE.join(', ')}`
  }
  if (longestMembership < 1 || longestMembership > MEMBERSHIP_CERTIFICATE_LIFETIME) {
    return `longest membership ${longestMembership} s, want 1 to ${MEMBERSHIP_CERTIFICATE_LIFETIME} s`
  }
  if (lasts < 1 || lasts > ISSUER_CERTIFICATE_LIFETIME) {
    return `it lasts ${lasts} s, want 1 to ${ISSUER_CERTIFICATE_LIFETIME} s (90 days)`
  }
  if (notBefore > now + CLOCK_TOLERANCE)
    return `it begins later, at ${iso(notBefore)} (is the clock right?)`
  if (notAfter <= now) return `it has ended at ${iso(notAfter)} (request another one)`
  return lock && lockProblem(lock, now)
}

function lockProblem({ approvers, since }: RequestedLock, now: Seconds): string | undefined {
  if (approvers.length < 1 || approvers.length > APPROVERS) {
    return `${approvers.length} approvers, want 1 to ${APPROVERS}`
  }
  if (new Set(approvers.map(({ device }) => device)).size < approvers.length) {
    return 'an approver is named twice'
  }
  return since > now + CLOCK_TOLERANCE
    ? `the lock begins later, at ${iso(since)} (is the clock right?)`
    : undefined
}

/** The issuer certificate that a request asks for. Throws MalformedError where the key is not the root key
 *  of its organization, or for what `requestProblem` names. */
export function signIssuerRequest(
  request: IssuerRequest,
  root: RootKeyPair,
  now: Seconds,
): Uint8Array {
  const own = organizationIdOf(root.publicKey)
  if (own !== request.organization) {
    throw malformed(`is of organization ${request.organization}, the key is the root of ${own}`)
  }
  const problem = requestProblem(request, now)
  if (problem !== undefined) throw malformed(problem)
  const { key, ranges, longestMembership, notBefore, notAfter, lock } = request
  const claims = encodeIssuerCertificate({
    ...{ key, ranges, longestMembership, notBefore, notAfter },
    ...(lock !== undefined && {
      lock: {
        since: lock.since,
        approvers: lock.approvers.map(({ device }) => deviceKeyOf(device)),
      },
    }),
  })
  return sealEnvelope('issuer-certificate', request.organization, claims, root)
}

function purposeOf(text: string): IssuerRequest['purpose'] {
  const found = PURPOSES.find((each) => each === text)
  if (found === undefined)
    throw malformed(`purpose "${text.slice(0, 40)}": want ${PURPOSES.join(' or ')}`)
  return found
}

function duration(text: string): Seconds {
  const [, digits] = /^(\d{1,10}) s$/.exec(text) ?? []
  if (digits === undefined)
    throw malformed(`longest membership "${text.slice(0, 40)}": want seconds`)
  return seconds(Number(digits))
}

function instant(field: string, text: string): Seconds {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) / 1000 : Number.NaN
  if (!Number.isInteger(at))
    throw malformed(`${field} "${text.slice(0, 40)}": want a moment in UTC`)
  return seconds(at)
}

function iso(moment: Seconds): string {
  return `${new Date(moment * 1000).toISOString().slice(0, 19)}Z`
}

function base32(text: string): Uint8Array {
  try {
    return fromBase32(text)
  } catch (cause) {
    throw new MalformedError(`issuer request: issuer "${text.slice(0, 60)}"`, { cause })
  }
}

function malformed(problem: string): MalformedError {
  return new MalformedError(`issuer request: ${problem}`)
}
